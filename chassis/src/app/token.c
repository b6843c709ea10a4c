// SPDX-License-Identifier: Apache-2.0
// The token this service shows to others, as a file: it is written by whoever issues it and changes while the service
// runs. Also what both ways share: each loop's copy. The token must never be logged, not even its length.
#include "token.h"

#include "health.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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

static bool hand_to(struct ch_loop_state *state, const char *token)
{
    struct delivery *delivery = malloc(sizeof(*delivery));
    char *copy = token ? strdup(token) : NULL;

    if (!delivery || (token && !copy)) { // the next change is another chance
        free(delivery);
        free(copy);
        return false;
    }
    *delivery = (struct delivery){.mail = {.fn = deliver, .arg = delivery}, .state = state, .token = copy};
    ch_loop_post(state->loop, &delivery->mail);
    return true;
}

void ch_token_hand_over(struct ch_process *process, const char *token)
{
    bool is_there = token != NULL;

    for (int i = 0; i < process->loop_count; i++)
        is_there &= hand_to(&process->loops[i], token);
    ch_health_set("token", is_there);
}

bool ch_token_is_wanted(void)
{
    return *ch_settings.service_token_file || *ch_settings.token_url;
}

bool ch_token_is_presentable(const char *token)
{
    if (strlen(token) >= CH_TOKEN_TEXT_MAX)
        return false;
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return token[0] != '\0';
}

bool ch_token_read_line(const char *path, char *ret_line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool is_read;

    if (!file)
        return false;
    is_read = fgets(ret_line, (int)size, file) != NULL;
    (void)fclose(file); // was only read
    if (!is_read)
        return false;
    ret_line[strcspn(ret_line, "\r\n")] = '\0';
    return ret_line[0] && strlen(ret_line) + 1 < size;
}

void ch_token_refresh(struct ch_process *process)
{
    char token[CH_TOKEN_TEXT_MAX];
    struct stat info;

    if (!*ch_settings.service_token_file || stat(ch_settings.service_token_file, &info))
        return;
    if (info.st_mtim.tv_sec == last_mtime.tv_sec && info.st_mtim.tv_nsec == last_mtime.tv_nsec)
        return;
    if (!ch_token_read_line(ch_settings.service_token_file, token, sizeof(token)) || !ch_token_is_presentable(token)) {
        ch_log(CH_LOG_ERROR, NULL, "token.unreadable", CH_LS("file", ch_settings.service_token_file));
        return;
    }
    last_mtime = info.st_mtim;
    ch_token_hand_over(process, token);
    ch_log(CH_LOG_INFO, NULL, "token.read");
}
