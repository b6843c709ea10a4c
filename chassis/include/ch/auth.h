// SPDX-License-Identifier: Apache-2.0
/**
 * @file auth.h
 * @brief Who asks: JWT access tokens (RFC 9068, RFC 7519) checked against a JWKS (RFC 7517) by file or URL.
 *
 * Only RS256 and ES256; the key's own algorithm decides, never the token's header alone. iss, aud, exp, nbf (60 s
 * leeway) and typ are checked; a member that stands twice is refused. Verified tokens are cached per loop until they
 * expire (bounded). A token cannot be revoked: it ends with its exp, which the issuer keeps near; a withdrawn key ends
 * all tokens it signed within a minute (URL) or five seconds (file).
 *
 * Unknown kid: the key set is read again, at most once in a second from a file and once in 2 s from a URL. While the
 * key source is away the last good keys stay, and it is tried again with growing pauses.
 */
#ifndef CH_AUTH_H
#define CH_AUTH_H

#include "ch/obs.h"
#include "ch/run.h"

/** One row a scope: bit, name in the token. */
enum ch_scope {
#define CH_SCOPE(id, bit, name) CH_##id = 1u << (bit),
#include "ch/scopes.def"
#undef CH_SCOPE
    CH_SCOPE_COUNT
};

/** Who asks, as a verified token says. */
struct ch_identity {
    char sub[64];      /**< subject as the issuer wrote it */
    struct ch_uuid id; /**< sub as UUID; nil when it is none */
    unsigned scopes;   /**< enum ch_scope bits */
    bool is_farmer, is_operator, is_buyer;
    struct ch_uuid farm_id; /**< farmers; else nil */
    char service[32];       /**< name of the calling service; "" for people */
    int64_t expires_s;      /**< Unix seconds */
};
/** Is it this person? Nobody is, without a UUID of one's own. */
static inline bool ch_is_person(const struct ch_identity *identity, struct ch_uuid person_id)
{
    return identity && !ch_uuid_is_nil(identity->id) && ch_uuid_eq(identity->id, person_id);
}
/** Is it the farmer of this farm? */
static inline bool ch_is_farm(const struct ch_identity *identity, struct ch_uuid farm_id)
{
    return identity && identity->is_farmer && !ch_uuid_is_nil(identity->farm_id) &&
           ch_uuid_eq(identity->farm_id, farm_id);
}
/** Its token has run out meanwhile: what goes on for long (a stream) ends then. */
static inline bool ch_has_run_out(const struct ch_identity *identity)
{
    return identity && identity->expires_s <= ch_wall_us() / 1000000;
}
static inline bool ch_may(const struct ch_identity *identity, unsigned any_of_scopes)
{
    return identity && (identity->scopes & any_of_scopes) != 0;
}

struct ch_keys; /**< key set of the process: shared by loops, reloaded by its own thread */
/** Where the keys come from and what tokens must name; copied. */
struct ch_keys_options {
    const char *source; /**< file path, or http:// or https:// URL */
    const char *issuer;
    const char *audience;
    const char *ca_file; /**< https: authorities to trust; NULL or "": the system's */
};
CH_MUST_CHECK enum ch_err
ch_keys_start(const struct ch_keys_options *options,
              struct ch_keys **ret_keys); /**< file: first read must succeed (CH_ERR_INVALID) */
void ch_keys_stop(struct ch_keys *keys);
bool ch_keys_are_loaded(const struct ch_keys *keys);
int64_t ch_keys_age_s(const struct ch_keys *keys); /**< since the source was read well; -1: never. Any thread */

struct ch_auth; /**< per loop: the cache of verified tokens */
struct ch_auth *ch_auth_new(struct ch_loop *loop, struct ch_keys *keys, size_t cache_max);
void ch_auth_free(struct ch_auth *auth); /**< loop thread, or after its run; while `keys` is alive and no fiber checks;
                                            accepts NULL */

/** Checks "Bearer <token>". data NULL (no header): CH_OK and *ret_identity NULL. Anything wrong: CH_ERR_UNAUTHENTICATED
 * with a fault code of a closed set (malformed, algorithm, unknown_key, signature, expired, not_yet_valid, issuer,
 * audience, type, claims). CH_ERR_UNAVAILABLE: there are no keys yet. The identity lies in ctx's arena. May park while
 * an unknown kid makes the key set be read again. */
CH_MUST_CHECK enum ch_err ch_auth_check_wait(struct ch_auth *auth, struct ch_ctx *ctx, struct ch_str authorization,
                                             const struct ch_identity **ret_identity);

#endif
