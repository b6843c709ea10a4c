// SPDX-License-Identifier: Apache-2.0
// Watches the file of keys for personal data, so that a key can be added, and made the current one, while the service
// runs. It must never log what the file holds.
#include "personal_keys.h"

#include "ch/seal.h"
#include "settings.h"

#include <sys/stat.h>

static const struct ch_metric current_metric = {
    .name = "personal_key_current_id",
    .type = CH_GAUGE,
    .help = "Id of the key that personal data is sealed with now.",
};
static const struct ch_metric newest_metric = {
    .name = "personal_key_newest_id",
    .type = CH_GAUGE,
    .help = "Highest id of a key that is known: what was sealed with it can be opened here.",
};

static struct timespec last_mtime;

static enum ch_err read_file(const char **reterr_reason)
{
    struct stat info;

    if (stat(ch_settings.personal_keys_file, &info) == 0)
        last_mtime = info.st_mtim; // a change between the two is seen at the next look
    const enum ch_err err = ch_seal_keys_read(ch_settings.personal_keys_file, reterr_reason);
    if (err)
        return err;
    ch_gauge_set(ch_series_get(&current_metric, (const char *const[]){NULL}), ch_seal_key_id());
    ch_gauge_set(ch_series_get(&newest_metric, (const char *const[]){NULL}), ch_seal_key_newest());
    ch_log(CH_LOG_INFO, NULL, "personal_keys.read", CH_LI("current", ch_seal_key_id()),
           CH_LI("newest", ch_seal_key_newest()));
    return CH_OK;
}

enum ch_err ch_personal_keys_start(const struct ch_service *service)
{
    const char *reason = "it must be set";

    if (!service->has_personal_data)
        return CH_OK;
    const enum ch_err err = *ch_settings.personal_keys_file ? read_file(&reason) : CH_ERR_INVALID;
    if (err)
        fprintf(stderr, "PERSONAL_KEYS_FILE: must name a file with a line `ID KEY` a key: %s\n", reason);
    return err;
}

void ch_personal_keys_refresh(const struct ch_service *service)
{
    const char *reason = "";
    struct stat info;

    if (!service->has_personal_data || stat(ch_settings.personal_keys_file, &info))
        return;
    if (info.st_mtim.tv_sec == last_mtime.tv_sec && info.st_mtim.tv_nsec == last_mtime.tv_nsec)
        return;
    if (read_file(&reason))
        ch_log(CH_LOG_ERROR, NULL, "personal_keys.refused", CH_LS("reason", reason));
}
