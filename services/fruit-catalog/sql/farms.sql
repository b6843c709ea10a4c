-- SPDX-License-Identifier: Apache-2.0
-- Farms and their certificates. Certificates are read as the JSON array that the contract shows.

-- name: farm_find :read
SELECT f.farm_id, f.name, f.sido, f.sigungu, f.introduction, f.phone, f.business_number, f.ship_cutoff,
       (SELECT count(*) FROM catalog.products p WHERE p.farm_id = f.farm_id AND p.status = 'ON_SALE'),
       coalesce((SELECT json_agg(json_build_object('kind', c.kind, 'number', c.number, 'agency', c.agency,
                                                   'validTo', to_char(c.valid_to, 'YYYY-MM-DD')) ORDER BY c.position)
                 FROM catalog.farm_certificates c WHERE c.farm_id = f.farm_id), '[]')::text,
       f.version, f.updated_at
FROM catalog.farms f
WHERE f.farm_id = $1::uuid;

-- name: farm_page :read
-- Farms by name, after the one with name $4 and id $5; of a region, with a certificate that is valid on day $3.
SELECT f.farm_id, f.name, f.sido, f.sigungu, f.introduction, f.phone, f.business_number, f.ship_cutoff,
       (SELECT count(*) FROM catalog.products p WHERE p.farm_id = f.farm_id AND p.status = 'ON_SALE'),
       coalesce((SELECT json_agg(json_build_object('kind', c.kind, 'number', c.number, 'agency', c.agency,
                                                   'validTo', to_char(c.valid_to, 'YYYY-MM-DD')) ORDER BY c.position)
                 FROM catalog.farm_certificates c WHERE c.farm_id = f.farm_id), '[]')::text,
       f.version, f.updated_at
FROM catalog.farms f
WHERE ($1::text IS NULL OR f.region = normalize($1::text, NFC) OR f.sido = normalize($1::text, NFC))
  AND ($2::text IS NULL OR EXISTS (SELECT FROM catalog.farm_certificates c
                                   WHERE c.farm_id = f.farm_id AND c.kind = $2::text AND c.valid_to >= $3::text::date))
  AND ($4::text IS NULL OR (f.name COLLATE "C", f.farm_id) > ($4::text COLLATE "C", $5::uuid))
ORDER BY f.name COLLATE "C", f.farm_id
LIMIT $6::int4;

-- name: farm_lock :write
SELECT version, name FROM catalog.farms WHERE farm_id = $1::uuid FOR NO KEY UPDATE;

-- name: farm_insert :write
INSERT INTO catalog.farms (farm_id, name, sido, sigungu, introduction, phone, business_number, ship_cutoff)
VALUES ($1::uuid, normalize($2::text, NFC), $3::text, normalize($4::text, NFC), $5::text, $6::text, $7::text, $8::text);

-- name: farm_update :write
UPDATE catalog.farms
SET name = normalize($2::text, NFC), sido = $3::text, sigungu = normalize($4::text, NFC), introduction = $5::text, phone = $6::text,
    business_number = $7::text, ship_cutoff = $8::text, version = version + 1, updated_at = now()
WHERE farm_id = $1::uuid;

-- name: farm_rename_products :write
-- Products repeat their farm's name for search.
UPDATE catalog.products p
SET farm_name = f.name
FROM catalog.farms f
WHERE f.farm_id = $1::uuid AND p.farm_id = f.farm_id AND p.farm_name <> f.name;

-- name: farm_certificates_clear :write
DELETE FROM catalog.farm_certificates WHERE farm_id = $1::uuid;

-- name: farm_certificates_insert :write
INSERT INTO catalog.farm_certificates (farm_id, position, kind, number, agency, valid_to)
SELECT $1::uuid, position, kind, number, agency, valid_to::date
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS c (kind, number, agency, valid_to, position);
