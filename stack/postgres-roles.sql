-- One schema a service; its owner migrates, its app role reads and writes rows and nothing else. Runs at every start, makes what is missing.
-- psql variables: schema, owner_password, app_password.
\set owner :schema _owner
\set app :schema _app
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'owner', :'owner_password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'app', :'app_password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'app') \gexec

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"owner";
GRANT CONNECT ON DATABASE gwasuwon TO :"owner", :"app";
GRANT USAGE ON SCHEMA :"schema" TO :"app";
ALTER ROLE :"owner" IN DATABASE gwasuwon SET search_path = :"schema";
ALTER ROLE :"app" IN DATABASE gwasuwon SET search_path = :"schema";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT USAGE, SELECT ON SEQUENCES TO :"app";
COMMIT;
