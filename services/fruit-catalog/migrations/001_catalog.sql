-- migrate:up

-- ---- search: every letter of a product is found by one or two letters of it, and by initial consonants --------------------------
-- Computed here and not in the service, so that what is stored and what is asked go through the same functions, whoever writes.

-- Lower case, composed (NFC), without ASCII punctuation, one space where there were spaces.
CREATE FUNCTION catalog.search_plain(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT regexp_replace(regexp_replace(lower(normalize(value, NFC)),
                                         '[\u0001-\u0008\u000E-\u001F\u0021-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u009F\u00B7]', '', 'g'),
                          '[\s\u00A0\u3000]+', ' ', 'g')
$$;

-- Without spaces: spacing is loose in Korean, so 햇살농원 finds 햇살 농원.
CREATE FUNCTION catalog.search_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT replace(catalog.search_plain(value), ' ', '')
$$;

-- 초성: the first consonant of each syllable; what is no syllable stays. 0xAC00 is 가, and 588 syllables share a first consonant.
CREATE FUNCTION catalog.search_initials(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(CASE WHEN ascii(letter) BETWEEN 44032 AND 55203
                                    THEN substr('ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ', (ascii(letter) - 44032) / 588 + 1, 1)
                                    ELSE letter END, '' ORDER BY at), '')
    FROM (SELECT at, substr(value, at, 1) AS letter FROM generate_series(1, length(value)) AS at) AS letters
$$;

-- The fields, then their initial consonants; a space between fields, so that no hit spans two of them.
CREATE FUNCTION catalog.search_text(title text, fruit text, variety text, farm_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT fields || ' ' || catalog.search_initials(fields)
    FROM (SELECT catalog.search_fold(title) || ' ' || catalog.search_fold(fruit) || ' ' || catalog.search_fold(variety) || ' ' ||
                 catalog.search_fold(farm_name) AS fields) AS folded
$$;

-- Every letter and every pair of neighbours. Trigrams would miss 사과 in 부사사과.
CREATE FUNCTION catalog.search_grams(value text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT gram), '{}')
    FROM (SELECT substr(value, at, size) AS gram, size
          FROM generate_series(1, length(value)) AS at, generate_series(1, 2) AS size) AS grams
    WHERE length(gram) = size AND strpos(gram, ' ') = 0
$$;

-- What a search asks for: its words, each wholly of initial consonants or wholly without them. Keyboards join some
-- consonants (ㄳ is ㄱ and ㅅ): they are taken apart again. One expression, so that a search plans it with itself.
CREATE FUNCTION catalog.search_words(query text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_remove(string_to_array(regexp_replace(regexp_replace(
        replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(catalog.search_plain(query),
            'ㄳ', 'ㄱㅅ'), 'ㄵ', 'ㄴㅈ'), 'ㄶ', 'ㄴㅎ'), 'ㄺ', 'ㄹㄱ'), 'ㄻ', 'ㄹㅁ'), 'ㄼ', 'ㄹㅂ'), 'ㄽ', 'ㄹㅅ'), 'ㄾ', 'ㄹㅌ'), 'ㄿ', 'ㄹㅍ'),
            'ㅀ', 'ㄹㅎ'), 'ㅄ', 'ㅂㅅ'),
        '([ㄱ-ㅎ])(?=[^ㄱ-ㅎ ])', '\1 ', 'g'), '([^ㄱ-ㅎ ])(?=[ㄱ-ㅎ])', '\1 ', 'g'), ' '), '')
$$;

-- MM-DD; a season may go over the new year.
CREATE FUNCTION catalog.is_in_season(season_from text, season_to text, month_day text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN season_from <= season_to THEN month_day BETWEEN season_from AND season_to
                ELSE month_day >= season_from OR month_day <= season_to END
$$;

-- UUIDv7 (RFC 9562): a random one whose first 48 bits are Unix milliseconds; 4 becomes 7 by two bits of the version.
CREATE FUNCTION catalog.uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
                                          PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                                          FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- ---- who sells what ------------------------------------------------------------------------------------------------------------

CREATE TABLE catalog.farms (
    farm_id         uuid PRIMARY KEY,
    name            text NOT NULL CHECK (char_length(name) BETWEEN 2 AND 50),
    sido            text NOT NULL,
    sigungu         text NOT NULL,
    region          text NOT NULL GENERATED ALWAYS AS (sido || ' ' || sigungu) STORED,
    introduction    text NOT NULL,
    phone           text NOT NULL,
    business_number text NOT NULL,
    ship_cutoff     text NOT NULL DEFAULT '14:00' CHECK (ship_cutoff ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
    version         integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX farms_by_name ON catalog.farms (name COLLATE "C", farm_id);

CREATE TABLE catalog.farm_certificates (
    farm_id  uuid NOT NULL REFERENCES catalog.farms,
    position integer NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('GAP', 'ORGANIC', 'PESTICIDE_FREE', 'LOW_CARBON')),
    number   text NOT NULL,
    agency   text NOT NULL,
    valid_to date NOT NULL,
    PRIMARY KEY (farm_id, position)
);

-- farm_name, from_price_krw and from_grade repeat what farms and skus say, so that search reads one table. Whoever changes
-- a farm's name or a SKU writes them in the same transaction.
CREATE TABLE catalog.products (
    product_id     uuid PRIMARY KEY,
    farm_id        uuid NOT NULL REFERENCES catalog.farms,
    farm_name      text NOT NULL,
    title          text NOT NULL CHECK (char_length(title) BETWEEN 2 AND 100),
    fruit          text NOT NULL,
    variety        text NOT NULL,
    description    text NOT NULL DEFAULT '',
    origin         text NOT NULL,
    storage        text NOT NULL,
    season_from    text NOT NULL CHECK (season_from ~ '^[01][0-9]-[0-3][0-9]$'),
    season_to      text NOT NULL CHECK (season_to ~ '^[01][0-9]-[0-3][0-9]$'),
    tax_class      text NOT NULL DEFAULT 'EXEMPT' CHECK (tax_class IN ('EXEMPT', 'TAXABLE')),
    status         text NOT NULL DEFAULT 'DRAFT' CHECK (status IN ('DRAFT', 'ON_SALE', 'PAUSED', 'ENDED')),
    disclosure     jsonb NOT NULL DEFAULT '{}',
    from_price_krw bigint,
    from_grade     text,
    version        integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    search_text    text NOT NULL GENERATED ALWAYS AS (catalog.search_text(title, fruit, variety, farm_name)) STORED,
    search_grams   text[] NOT NULL
                   GENERATED ALWAYS AS (catalog.search_grams(catalog.search_text(title, fruit, variety, farm_name))) STORED
);
CREATE INDEX products_by_farm ON catalog.products (farm_id);
CREATE INDEX products_on_sale ON catalog.products (product_id) WHERE status = 'ON_SALE';
CREATE INDEX products_by_grams ON catalog.products USING gin (search_grams) WHERE status = 'ON_SALE';

CREATE TABLE catalog.images (
    sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
    type       text NOT NULL CHECK (type IN ('image/jpeg', 'image/png', 'image/webp')),
    bytes      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE catalog.images ALTER COLUMN bytes SET STORAGE EXTERNAL; -- pictures are compressed already

CREATE TABLE catalog.product_images (
    product_id uuid NOT NULL REFERENCES catalog.products,
    position   integer NOT NULL CHECK (position BETWEEN 1 AND 10),
    sha256     bytea NOT NULL REFERENCES catalog.images,
    alt        text NOT NULL,
    PRIMARY KEY (product_id, position),
    UNIQUE (product_id, sha256)
);

-- ---- stock ----------------------------------------------------------------------------------------------------------------------

-- Rows are rewritten with every order: half of each page is kept free, so that a new version stays on its page.
CREATE TABLE catalog.skus (
    sku_id          uuid PRIMARY KEY,
    product_id      uuid NOT NULL REFERENCES catalog.products,
    grade           text NOT NULL CHECK (grade IN ('특', '상', '보통', '못난이')),
    weight_g        integer NOT NULL CHECK (weight_g > 0),
    count_min       integer,
    count_max       integer,
    size_code       text,
    brix_x10_min    integer,
    price_krw       bigint NOT NULL CHECK (price_krw > 0),
    per_order_limit integer NOT NULL DEFAULT 99 CHECK (per_order_limit BETWEEN 1 AND 99),
    per_buyer_limit integer CHECK (per_buyer_limit BETWEEN 1 AND 999), -- null: none
    available       integer NOT NULL DEFAULT 0 CONSTRAINT skus_available CHECK (available >= 0),
    is_on_sale      boolean NOT NULL DEFAULT true,
    version         integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(), -- of the last edit or adjustment; sales leave it
    CONSTRAINT skus_count CHECK ((count_min IS NULL) = (count_max IS NULL) AND count_min <= count_max)
) WITH (fillfactor = 50);
CREATE INDEX skus_by_product ON catalog.skus (product_id);

-- What was harvested together. An order line names the oldest lot of its SKU, so that a box can be traced to its field.
CREATE TABLE catalog.lots (
    lot_id       uuid PRIMARY KEY,
    sku_id       uuid NOT NULL REFERENCES catalog.skus,
    harvested_on date NOT NULL,
    brix_x10     integer,
    quantity     integer NOT NULL CHECK (quantity > 0),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX lots_oldest ON catalog.lots (sku_id, harvested_on, lot_id);

-- Every change of a SKU's stock; rows are only ever added. Per SKU, the deltas add up to `available`, and ids rise in the order
-- of the changes because the SKU is locked while its row is written. No foreign keys here nor in hold_lines: the row a key
-- would look for is locked by the same statement, SKUs are never deleted, and these are the rows of every order.
-- One partition a month (UTC), made ahead and dropped by stock_ledger_turn, so that forgetting a month costs no row's deletion. The key
-- has to hold the time for that; that ids are unique is the sequence's promise.
CREATE SEQUENCE catalog.stock_ledger_id AS bigint;
CREATE TABLE catalog.stock_ledger (
    id              bigint NOT NULL DEFAULT nextval('catalog.stock_ledger_id'),
    ledger_id       uuid NOT NULL,
    sku_id          uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('INITIAL', 'ADJUSTMENT', 'RESERVATION', 'RELEASE')),
    delta           integer NOT NULL CHECK (delta <> 0),
    available_after integer NOT NULL CHECK (available_after >= 0),
    reason          text NOT NULL,
    actor           text NOT NULL CHECK (actor IN ('farm', 'operator', 'buyer', 'system')),
    actor_id        uuid,
    order_id        uuid,
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sku_id, id, at)
) PARTITION BY RANGE (at);
-- For a month that nobody made in time: no order may fail for that.
CREATE TABLE catalog.stock_ledger_rest PARTITION OF catalog.stock_ledger DEFAULT;

-- What a SKU's ledger said last in the months that were dropped.
CREATE TABLE catalog.stock_carried (
    sku_id          uuid PRIMARY KEY,
    id              bigint NOT NULL, -- of that row
    available_after integer NOT NULL
);

-- Makes the partitions of this month and `ahead` more, and drops those that ended `keep_months` ago or earlier, noting first what each SKU's
-- ledger said there. Answers how many were dropped. The owner's rights for this alone: the service may neither delete rows nor make tables.
-- It gives way to whoever writes: what cannot be locked at once is left to the next call.
CREATE FUNCTION catalog.stock_ledger_turn(keep_months integer, ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    month      timestamp;
    part       text;
    dropped    integer := 0;
BEGIN
    IF keep_months NOT BETWEEN 1 AND 1200 OR ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'out of range: keep_months %, ahead %', keep_months, ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('catalog.stock_ledger_turn')) THEN
        RETURN 0; -- another instance is at it
    END IF;
    FOR i IN 0..ahead LOOP
        month := this_month + make_interval(months => i);
        part := 'stock_ledger_' || to_char(month, 'YYYYMM');
        CONTINUE WHEN to_regclass('catalog.' || part) IS NOT NULL
            OR EXISTS (SELECT FROM catalog.stock_ledger_rest r
                       WHERE r.at >= month AT TIME ZONE 'UTC' AND r.at < (month + interval '1 month') AT TIME ZONE 'UTC');
        BEGIN
            EXECUTE format('CREATE TABLE catalog.%I (LIKE catalog.stock_ledger INCLUDING ALL)', part);
            EXECUTE format('REVOKE ALL ON catalog.%I FROM catalog_app', part); -- the schema's defaults give more than is needed
            EXECUTE format('ALTER TABLE catalog.stock_ledger ATTACH PARTITION catalog.%I FOR VALUES FROM (%L) TO (%L)', part,
                           month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        EXCEPTION WHEN lock_not_available THEN
            RETURN dropped;
        END;
    END LOOP;
    FOR part IN
        SELECT c.relname
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'catalog.stock_ledger'::regclass AND c.relname ~ '^stock_ledger_[0-9]{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM') < this_month - make_interval(months => keep_months)
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format($sql$
                INSERT INTO catalog.stock_carried (sku_id, id, available_after)
                SELECT s.sku_id, l.id, l.available_after
                FROM catalog.skus AS s,
                     LATERAL (SELECT id, available_after FROM catalog.%I AS p WHERE p.sku_id = s.sku_id ORDER BY p.id DESC LIMIT 1) AS l
                ON CONFLICT (sku_id) DO UPDATE SET id = excluded.id, available_after = excluded.available_after
                WHERE stock_carried.id < excluded.id $sql$, part);
            EXECUTE format('DROP TABLE catalog.%I', part);
            dropped := dropped + 1;
        EXCEPTION WHEN lock_not_available THEN
            RETURN dropped;
        END;
    END LOOP;
    RETURN dropped;
END
$$;
SELECT catalog.stock_ledger_turn(1200, 2);

-- One row an order that ever asked for stock and got it (HELD until OrderManager says what became of it, then SOLD or RELEASED), or that
-- was released before it asked (CLOSED: it never will hold stock).
CREATE TABLE catalog.holds (
    order_id   uuid PRIMARY KEY,
    buyer_id   uuid, -- while it holds something; null also when the account was erased
    state      text NOT NULL CHECK (state IN ('HELD', 'SOLD', 'RELEASED', 'CLOSED')),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT holds_expire CHECK (state <> 'HELD' OR expires_at IS NOT NULL),
    CONSTRAINT holds_buyer CHECK (state IN ('HELD', 'SOLD') OR buyer_id IS NULL)
);
CREATE INDEX holds_expiring ON catalog.holds (expires_at, order_id) WHERE state = 'HELD';

-- What an order holds, and what it was answered: a repeated Reserve gets the same.
CREATE TABLE catalog.hold_lines (
    order_id         uuid NOT NULL,
    line_no          integer NOT NULL,
    sku_id           uuid NOT NULL,
    quantity         integer NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    unit_price_krw   bigint NOT NULL,
    available_before integer NOT NULL,
    lot_id           uuid,
    PRIMARY KEY (order_id, line_no)
);

-- What each buyer has of a SKU with a limit per buyer: the boxes of the holds that are HELD or SOLD. Of a SKU without a limit there is no
-- row, nor of a buyer who has none. Written under the SKU's lock alone: by reservations, by releases, when a limit is set or taken away, and
-- when an account is erased.
CREATE TABLE catalog.sku_buyers (
    sku_id   uuid NOT NULL,
    buyer_id uuid NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (sku_id, buyer_id)
) WITH (fillfactor = 50);

-- What the buyers who ask for a SKU have of it: 20 bytes a buyer, in the order of their ids, uuid and int4 as uuid_send and int4send write
-- them. `buyers` and `skus` are the lines of orders. A function, so that reserve_read pays for it only where there is a limit.
CREATE FUNCTION catalog.shares_of_buyers(sku uuid, buyers uuid[], skus uuid[]) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT string_agg(uuid_send(asking.buyer_id) || int4send(coalesce(b.quantity, 0)), '' ORDER BY asking.buyer_id)
            FROM (SELECT DISTINCT line.buyer_id FROM unnest(buyers, skus) AS line (buyer_id, sku_id) WHERE line.sku_id = sku) AS asking
            LEFT JOIN catalog.sku_buyers b ON b.sku_id = sku AND b.buyer_id = asking.buyer_id);
END
$$;

-- ---- events ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE catalog.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    subject     text NOT NULL,
    data        text NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz
);
CREATE INDEX outbox_unsent ON catalog.outbox (id) WHERE sent_at IS NULL;

CREATE TABLE catalog.inbox (
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

-- ---- what the service may do: the schema's defaults give more than it needs ------------------------------------------------------

REVOKE ALL ON catalog.farms, catalog.farm_certificates, catalog.products, catalog.images, catalog.product_images, catalog.skus,
    catalog.lots, catalog.stock_ledger, catalog.stock_ledger_rest, catalog.stock_carried, catalog.holds, catalog.hold_lines, catalog.sku_buyers, catalog.outbox,
    catalog.inbox FROM catalog_app;
GRANT SELECT, INSERT, UPDATE ON catalog.farms, catalog.products, catalog.skus, catalog.holds TO catalog_app;
-- Locking a row asks for UPDATE.
GRANT SELECT, INSERT, UPDATE, DELETE ON catalog.outbox, catalog.inbox, catalog.sku_buyers TO catalog_app;
GRANT SELECT, INSERT, DELETE ON catalog.farm_certificates TO catalog_app;
GRANT SELECT, INSERT ON catalog.images, catalog.product_images, catalog.stock_ledger, catalog.hold_lines TO catalog_app;
GRANT SELECT ON catalog.lots, catalog.stock_carried TO catalog_app;
GRANT USAGE ON SEQUENCE catalog.stock_ledger_id TO catalog_app;
REVOKE ALL ON FUNCTION catalog.stock_ledger_turn(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION catalog.stock_ledger_turn(integer, integer) TO catalog_app;

-- Privileged actions: who did what to what, when, in which trace. Rows are only ever added: the service's role may do nothing else, and each
-- row has a digest of itself and of the row before it, so that a row that was changed or taken away shows (./dev audit verify).
CREATE TABLE catalog.audit (
    id       bigint PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text NOT NULL,   -- sub of the token, name of a service, or who ran ./dev
    role     text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,   -- an id; never personal data
    outcome  text NOT NULL,   -- done, or the code of what refused it
    detail   text NOT NULL,
    trace_id text NOT NULL,
    digest   bytea NOT NULL
);
CREATE FUNCTION catalog.audit_digest(earlier bytea, r catalog.audit) RETURNS bytea LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT sha256(earlier || convert_to(jsonb_build_array(r.id, extract(epoch FROM r.at), r.actor, r.role, r.action, r.subject, r.outcome, r.detail, r.trace_id)::text, 'UTF8'))
$$;
CREATE FUNCTION catalog.audit_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    last catalog.audit;
BEGIN
    PERFORM pg_advisory_xact_lock('catalog.audit'::regclass::oid::bigint); -- one after the other; the last thing a transaction does
    SELECT * INTO last FROM catalog.audit ORDER BY id DESC LIMIT 1;
    NEW.id := COALESCE(last.id, 0) + 1;
    NEW.at := clock_timestamp();
    NEW.digest := catalog.audit_digest(COALESCE(last.digest, ''), NEW);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_chain BEFORE INSERT ON catalog.audit FOR EACH ROW EXECUTE FUNCTION catalog.audit_chain();
REVOKE ALL ON FUNCTION catalog.audit_chain(), catalog.audit_digest(bytea, catalog.audit) FROM PUBLIC;
REVOKE ALL ON catalog.audit FROM catalog_app;
GRANT INSERT (actor, role, action, subject, outcome, detail, trace_id) ON catalog.audit TO catalog_app;

-- migrate:down
DROP TABLE catalog.audit CASCADE;
DROP FUNCTION catalog.audit_chain();
DROP FUNCTION catalog.stock_ledger_turn(integer, integer), catalog.shares_of_buyers(uuid, uuid[], uuid[]);
DROP TABLE catalog.inbox, catalog.outbox, catalog.sku_buyers, catalog.hold_lines, catalog.holds, catalog.stock_carried, catalog.stock_ledger, catalog.lots, catalog.skus,
    catalog.product_images, catalog.images, catalog.products, catalog.farm_certificates, catalog.farms;
DROP SEQUENCE catalog.stock_ledger_id;
DROP FUNCTION catalog.uuid_v7(), catalog.is_in_season(text, text, text), catalog.search_words(text), catalog.search_grams(text),
    catalog.search_text(text, text, text, text), catalog.search_initials(text), catalog.search_fold(text), catalog.search_plain(text);
