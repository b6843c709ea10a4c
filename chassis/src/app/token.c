// SPDX-License-Identifier: Apache-2.0
// The token this service shows to others. Its file is written by whoever issues it and changes while the service runs;
// each loop has a copy, swapped by mail. The token must never be logged, not even its length.
#include "loop_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TOKEN_MAX 8192

static struct timespec last_mtime; // main thread only

struct delivery {
    struct ch_mail mail;
    struct ch_loop_state *state;
    char *token;
};

static void deliver(struct ch_loop *loop, void *arg)
{
    struct delivery *delivery = arg;

    (void)loop; // is the state's
    free(delivery->state->bearer);
    delivery->state->bearer = delivery->token;
    free(delivery);
}

static void hand_over(struct ch_loop_state *state, const char *token)
{
    struct delivery *delivery = malloc(sizeof(*delivery));
    char *copy = strdup(token);

    if (!delivery || !copy) { // the next change is another chance
        free(delivery);
        free(copy);
        return;
    }
    *delivery = (struct delivery){.mail = {.fn = deliver, .arg = delivery}, .state = state, .token = copy};
    ch_loop_post(state->loop, &delivery->mail);
}

// The first line; a header value must not hold anything that is not visible.
static bool read_token(const char *path, char *ret_token)
{
    FILE *file = fopen(path, "re");
    bool is_read;

    if (!file)
        return false;
    is_read = fgets(ret_token, TOKEN_MAX, file) != NULL;
    (void)fclose(file); // was only read
    if (!is_read)
        return false;
    ret_token[strcspn(ret_token, "\r\n")] = '\0';
    for (const char *at = ret_token; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return ret_token[0] != '\0';
}

void ch_token_refresh(struct ch_process *process)
{
    char token[TOKEN_MAX];
    struct stat info;

    if (!*ch_settings.service_token_file || stat(ch_settings.service_token_file, &info))
        return;
    if (info.st_mtim.tv_sec == last_mtime.tv_sec && info.st_mtim.tv_nsec == last_mtime.tv_nsec)
        return;
    if (!read_token(ch_settings.service_token_file, token)) {
        ch_log(CH_LOG_ERROR, NULL, "token.unreadable", CH_LS("file", ch_settings.service_token_file));
        return;
    }
    last_mtime = info.st_mtim;
    for (int i = 0; i < process->loop_count; i++)
        hand_over(&process->loops[i], token);
    ch_log(CH_LOG_INFO, NULL, "token.read");
}
