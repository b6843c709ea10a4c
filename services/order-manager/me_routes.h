// SPDX-License-Identifier: Apache-2.0
/**
 * @file me_routes.h
 * @brief What an account may ask of its own data: all of it, and that it be erased.
 * contracts/openapi/order-manager.yaml.
 */
#ifndef ME_ROUTES_H
#define ME_ROUTES_H

#include "ch/app.h"

enum ch_err me_data(struct ch_request *req);
enum ch_err me_erase(struct ch_request *req);
enum ch_err me_erasure_get(struct ch_request *req);

#endif
