-- SPDX-License-Identifier: Apache-2.0
-- Products: their page, their edits. The first 15 columns of product_find and product_lock are the same.

-- name: product_find :read
-- A product with its farm and pictures; certificates that are valid on day $2. Both lists as the contract's JSON.
SELECT p.product_id, p.farm_id, p.title, p.fruit, p.variety, p.description, p.origin, p.storage, p.season_from, p.season_to,
       p.tax_class, p.status, p.disclosure::text, p.version, p.updated_at,
       f.name, f.region, f.ship_cutoff,
       coalesce((SELECT json_agg(json_build_object('kind', c.kind, 'number', c.number, 'agency', c.agency,
                                                   'validTo', to_char(c.valid_to, 'YYYY-MM-DD')) ORDER BY c.position)
                 FROM catalog.farm_certificates c WHERE c.farm_id = f.farm_id AND c.valid_to >= $2::text::date), '[]')::text,
       coalesce((SELECT json_agg(json_build_object('imageId', encode(i.sha256, 'hex'), 'url', '/api/v1/images/' || encode(i.sha256, 'hex'),
                                                   'alt', i.alt) ORDER BY i.position)
                 FROM catalog.product_images i WHERE i.product_id = p.product_id), '[]')::text
FROM catalog.products p JOIN catalog.farms f USING (farm_id)
WHERE p.product_id = $1::uuid;

-- name: product_lock :write
SELECT product_id, farm_id, title, fruit, variety, description, origin, storage, season_from, season_to,
       tax_class, status, disclosure::text, version, updated_at
FROM catalog.products
WHERE product_id = $1::uuid
FOR NO KEY UPDATE;

-- name: product_insert :write
-- The farm is locked against a new name until its product is there to be renamed, too. No row: no such farm.
INSERT INTO catalog.products (product_id, farm_id, farm_name, title, fruit, variety, description, origin, storage, season_from, season_to,
                              tax_class, disclosure)
SELECT $1::uuid, f.farm_id, f.name, normalize($3::text, NFC), normalize($4::text, NFC), normalize($5::text, NFC), $6::text, $7::text, $8::text,
       $9::text, $10::text, $11::text, $12::text::jsonb
FROM (SELECT farm_id, name FROM catalog.farms WHERE farm_id = $2::uuid FOR SHARE) AS f
RETURNING product_id;

-- name: product_update :write
-- Of a row that product_lock holds.
UPDATE catalog.products
SET title = normalize($2::text, NFC), fruit = normalize($3::text, NFC), variety = normalize($4::text, NFC), description = $5::text,
    origin = $6::text, storage = $7::text, season_from = $8::text, season_to = $9::text, tax_class = $10::text, disclosure = $11::text::jsonb,
    status = $12::text, version = $13::int4, updated_at = now()
WHERE product_id = $1::uuid;

-- name: product_price_refresh :write
-- The cheapest SKU on sale, for search. Whoever writes a SKU's price, grade or is_on_sale holds the product's lock and calls this.
UPDATE catalog.products p
SET (from_price_krw, from_grade) = (SELECT s.price_krw, s.grade FROM catalog.skus s
                                    WHERE s.product_id = p.product_id AND s.is_on_sale
                                    ORDER BY s.price_krw, s.sku_id LIMIT 1)
WHERE p.product_id = $1::uuid;

-- name: product_search :read
-- Products on sale that hold all words of $1: by the index what has all their pairs of letters, then the words themselves. Sorts: 0 recommended (in season first), 1 newest, 2 cheapest, 3 dearest; equals newest
-- first. The page begins after sort key $11 and id $12.
WITH asked AS MATERIALIZED (
    SELECT catalog.search_words($1::text) AS words
), words AS MATERIALIZED (
    SELECT words, (SELECT array_agg(DISTINCT substr(word, at, 2))
                   FROM unnest(words) AS word, LATERAL generate_series(1, greatest(length(word) - 1, 1)) AS at) AS grams,
           (SELECT array_agg(word) FROM unnest(words) AS word WHERE length(word) > 2) AS long_words
    FROM asked
), hit AS (
    SELECT p.product_id, p.title, p.fruit, p.variety, p.farm_id, p.from_grade, p.from_price_krw,
           catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6)) AS in_season,
           CASE $10::int4 WHEN 0 THEN catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6))::int::bigint
                          WHEN 2 THEN -coalesce(p.from_price_krw, 1000000000000)
                          WHEN 3 THEN coalesce(p.from_price_krw, -1)
                          ELSE 0 END AS sort_key
    FROM words w JOIN catalog.products p ON p.search_grams @> w.grams
    WHERE p.status = 'ON_SALE' AND cardinality(w.words) > 0
      AND (w.long_words IS NULL OR NOT EXISTS (SELECT FROM unnest(w.long_words) AS word WHERE strpos(p.search_text, word) = 0))
      AND ($2::text IS NULL OR p.fruit = normalize($2::text, NFC))
      AND ($3::text IS NULL OR p.farm_id IN (SELECT f.farm_id FROM catalog.farms f
                                             WHERE f.region = normalize($3::text, NFC) OR f.sido = normalize($3::text, NFC)))
      AND ($4::bool IS NULL OR catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6)) = $4::bool)
      AND ($5::text IS NULL AND $7::int8 IS NULL AND $8::int8 IS NULL
           OR EXISTS (SELECT FROM catalog.skus s
                      WHERE s.product_id = p.product_id AND s.is_on_sale AND ($5::text IS NULL OR s.grade = $5::text)
                        AND s.price_krw BETWEEN coalesce($7::int8, 0) AND coalesce($8::int8, 1000000000000)))
      AND ($6::text IS NULL OR p.farm_id IN (SELECT c.farm_id FROM catalog.farm_certificates c
                                             WHERE c.kind = $6::text AND c.valid_to >= $14::text::date))
      AND ($9::uuid IS NULL OR p.farm_id = $9::uuid)
), page AS (
    SELECT * FROM hit
    WHERE $11::int8 IS NULL OR (sort_key, product_id) < ($11::int8, $12::uuid)
    ORDER BY sort_key DESC, product_id DESC
    LIMIT $13::int4
)
SELECT h.product_id, h.title, h.fruit, h.variety, h.from_grade, h.from_price_krw, h.in_season, h.sort_key, f.farm_id, f.name, f.region,
       (SELECT encode(i.sha256, 'hex') FROM catalog.product_images i WHERE i.product_id = h.product_id ORDER BY i.position LIMIT 1),
       coalesce((SELECT json_agg(DISTINCT c.kind) FROM catalog.farm_certificates c
                 WHERE c.farm_id = f.farm_id AND c.valid_to >= $14::text::date), '[]')::text
FROM page h JOIN catalog.farms f USING (farm_id)
ORDER BY h.sort_key DESC, h.product_id DESC;

-- name: product_list :read
-- The same without words; $1 is not looked at.
WITH hit AS (
    SELECT p.product_id, p.title, p.fruit, p.variety, p.farm_id, p.from_grade, p.from_price_krw,
           catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6)) AS in_season,
           CASE $10::int4 WHEN 0 THEN catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6))::int::bigint
                          WHEN 2 THEN -coalesce(p.from_price_krw, 1000000000000)
                          WHEN 3 THEN coalesce(p.from_price_krw, -1)
                          ELSE 0 END AS sort_key
    FROM catalog.products p
    WHERE p.status = 'ON_SALE' AND $1::text IS NULL
      AND ($2::text IS NULL OR p.fruit = normalize($2::text, NFC))
      AND ($3::text IS NULL OR p.farm_id IN (SELECT f.farm_id FROM catalog.farms f
                                             WHERE f.region = normalize($3::text, NFC) OR f.sido = normalize($3::text, NFC)))
      AND ($4::bool IS NULL OR catalog.is_in_season(p.season_from, p.season_to, substr($14::text, 6)) = $4::bool)
      AND ($5::text IS NULL AND $7::int8 IS NULL AND $8::int8 IS NULL
           OR EXISTS (SELECT FROM catalog.skus s
                      WHERE s.product_id = p.product_id AND s.is_on_sale AND ($5::text IS NULL OR s.grade = $5::text)
                        AND s.price_krw BETWEEN coalesce($7::int8, 0) AND coalesce($8::int8, 1000000000000)))
      AND ($6::text IS NULL OR p.farm_id IN (SELECT c.farm_id FROM catalog.farm_certificates c
                                             WHERE c.kind = $6::text AND c.valid_to >= $14::text::date))
      AND ($9::uuid IS NULL OR p.farm_id = $9::uuid)
), page AS (
    SELECT * FROM hit
    WHERE $11::int8 IS NULL OR (sort_key, product_id) < ($11::int8, $12::uuid)
    ORDER BY sort_key DESC, product_id DESC
    LIMIT $13::int4
)
SELECT h.product_id, h.title, h.fruit, h.variety, h.from_grade, h.from_price_krw, h.in_season, h.sort_key, f.farm_id, f.name, f.region,
       (SELECT encode(i.sha256, 'hex') FROM catalog.product_images i WHERE i.product_id = h.product_id ORDER BY i.position LIMIT 1),
       coalesce((SELECT json_agg(DISTINCT c.kind) FROM catalog.farm_certificates c
                 WHERE c.farm_id = f.farm_id AND c.valid_to >= $14::text::date), '[]')::text
FROM page h JOIN catalog.farms f USING (farm_id)
ORDER BY h.sort_key DESC, h.product_id DESC;
