// SPDX-License-Identifier: Apache-2.0
// FruitCatalog over REST: contracts/openapi/fruit-catalog.yaml, one row an operation.
#include "image.h"
#include "tables.h"

const struct ch_route routes[] = {
    {CH_GET, "/api/v1/products", 0, product_search, "product_search"},
    {CH_GET, "/api/v1/products/{productId}", 0, product_detail, "product_detail", CH_ROUTE_CHEAP},
    {CH_PATCH, "/api/v1/products/{productId}", CH_CATALOG_WRITE, product_patch, "product_patch"},
    {CH_POST, "/api/v1/products/{productId}/skus", CH_CATALOG_WRITE, sku_create, "sku_create"},
    {CH_POST, "/api/v1/products/{productId}/images", CH_CATALOG_WRITE, image_upload, "image_upload", CH_ROUTE_RAW_BODY,
     IMAGE_BYTES_MAX},
    {CH_PATCH, "/api/v1/skus/{skuId}", CH_CATALOG_WRITE, sku_patch, "sku_patch"},
    {CH_POST, "/api/v1/skus/{skuId}/stock-adjustments", CH_CATALOG_WRITE, stock_adjust, "stock_adjust"},
    {CH_GET, "/api/v1/skus/{skuId}/stock-ledger", CH_CATALOG_WRITE, stock_ledger, "stock_ledger"},
    {CH_GET, "/api/v1/farms", 0, farm_list, "farm_list"},
    {CH_GET, "/api/v1/farms/{farmId}", 0, farm_detail, "farm_detail"},
    {CH_PUT, "/api/v1/farms/{farmId}", CH_ADMIN, farm_put, "farm_put"},
    {CH_POST, "/api/v1/farms/{farmId}/products", CH_CATALOG_WRITE, product_create, "product_create"},
    {CH_GET, "/api/v1/images/{sha256}", 0, image_get, "image_get"},
    {0},
};
