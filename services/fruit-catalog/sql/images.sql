-- SPDX-License-Identifier: Apache-2.0
-- Pictures, named by their content, and which product shows them.

-- name: image_find :read
-- With $2 its bytes, too.
SELECT type, CASE WHEN $2::bool THEN bytes END FROM catalog.images WHERE sha256 = decode($1::text, 'hex');

-- name: image_insert :write
INSERT INTO catalog.images (sha256, type, bytes) VALUES ($1::bytea, $2::text, $3::bytea) ON CONFLICT (sha256) DO NOTHING;

-- name: product_images_of :read
SELECT encode(sha256, 'hex'), position, alt FROM catalog.product_images WHERE product_id = $1::uuid ORDER BY position;

-- name: product_image_insert :write
INSERT INTO catalog.product_images (product_id, position, sha256, alt) VALUES ($1::uuid, $2::int4, $3::bytea, $4::text);
