// SPDX-License-Identifier: Apache-2.0
/**
 * @file body.h
 * @brief What the pipeline itself asks of a body before a handler sees it.
 */
#ifndef CH_APP_BODY_H
#define CH_APP_BODY_H

#include "ch/app.h"

bool ch_is_json_type(struct ch_str content_type); /**< of the header Content-Type */
/** CH_ERR_UNSUPPORTED_MEDIA_TYPE, with the fault, for any other type and for none. */
CH_MUST_CHECK enum ch_err ch_body_check_json(struct ch_request *req);

#endif
