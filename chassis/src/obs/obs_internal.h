// SPDX-License-Identifier: Apache-2.0
/**
 * @file obs_internal.h
 * @brief What the files of obs share: the queues to the telemetry thread and the exporter that runs on it. Never
 * included elsewhere.
 */
#ifndef CH_OBS_INTERNAL_H
#define CH_OBS_INTERNAL_H

#include "ch/obs.h"

#include <poll.h>

#define OBS_LINE_MAX 4096 /**< one log line with its newline; equals PIPE_BUF, so a line never tears */
#define OBS_LOG_QUEUE_MAX                                                                                              \
    (2 * 1024 * 1024)        /**< bytes of lines not yet handed to the writer; as much again is being written */
#define OBS_SPANS_MAX   4096 /**< spans waiting for export */
#define OBS_BATCH_SPANS 512
#define OBS_SPAN_TEXT   512 /**< bytes of all string attributes of one span */

/** A finished span, complete in itself. */
struct obs_span {
    uint8_t trace_id[16], span_id[8], parent_id[8];
    const char *name;
    enum ch_span_kind kind;
    enum ch_err err;
    int64_t start_wall_us, duration_ns;
    struct ch_log_field attrs[CH_SPAN_ATTRS]; /**< strings point into `text` */
    int attr_count;
    size_t text_len;
    char text[OBS_SPAN_TEXT];
};

/** What the process is, as ch_obs_start was told. Written before other threads log. */
struct obs_identity {
    char service[64], version[64], instance[128];
    double sample_ratio;
};
const struct obs_identity *obs_identity(void); /**< service is the program's name before ch_obs_start */

enum obs_drop { OBS_DROP_LOG, OBS_DROP_SPAN, OBS_DROPS };
void obs_dropped(enum obs_drop kind, int64_t n);

/** Hands over one whole line; writes it at once while no thread runs. */
void obs_log_put(const char *line, size_t len);
void obs_log_identity_changed(void); /**< renders the fixed part of each line again */

bool obs_spans_are_on(void); /**< somebody exports spans */
/** A free slot to be filled, with the queue locked until obs_span_commit; NULL (and counted) when there is none. */
struct obs_span *obs_span_claim(void);
void obs_span_commit(void);
/** Consumer's side, telemetry thread only. A peeked span stays until it is released. */
size_t obs_spans_waiting(void);
const struct obs_span *obs_span_peek(size_t index);
void obs_spans_release(size_t count);

/* ---- otlp.c: everything on the telemetry thread but open and close ---- */

CH_MUST_CHECK enum ch_err otlp_open(const char *endpoint); /**< "" or NULL: spans are off */
void otlp_close(void);
bool otlp_is_on(void);
/** Moves the transfer on, starts the next; never blocks. Returns when it wants to be called again at the latest. */
int64_t otlp_step(int64_t now_ns, bool is_stopping);
bool otlp_is_idle(void);
void otlp_give_up(void); /**< counts all that is not delivered as dropped */
void otlp_poll(struct pollfd *fds, unsigned count, int timeout_ms);

/** Length of the well-formed UTF-8 sequence at `p` (1..4), 0 when it is malformed or cut. RFC 3629. */
static inline size_t obs_utf8_sequence(const unsigned char *p, size_t len)
{
    static const unsigned least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = p[0] < 0x80             ? 1
                  : (p[0] & 0xe0) == 0xc0 ? 2
                  : (p[0] & 0xf0) == 0xe0 ? 3
                  : (p[0] & 0xf8) == 0xf0 ? 4
                                          : 0;
    if (need <= 1)
        return need;
    if (need > len)
        return 0;
    unsigned code = p[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    bool is_bad = code < least[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
    return is_bad ? 0 : need;
}

#endif
