-- SPDX-License-Identifier: Apache-2.0
-- The record of privileged actions, for services that have the table; no schema is named: each role finds its own by search_path.

-- name: audit_insert :write
-- Number, time and digest are the table's affair (its trigger): the role may do nothing but this.
INSERT INTO audit (actor, role, action, subject, outcome, detail, trace_id)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text);
