/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One sink for every message: the journal, with fields, when stderr is the journal's; readable lines on
 * stderr elsewhere. The level is the only mutable global of the program.
 *
 * Levels are those of syslog(3). A failure is logged once, where it is handled. Strings that a peer sent go
 * through log_escape(), so that a log line cannot be forged.
 */
#ifndef COAPD_BASE_LOG_H
#define COAPD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <syslog.h>

#include "base/span.h"
#include "base/util.h"

/* What a message is about, for `journalctl FIELD=value`. NULL members are left out. */
struct log_fields {
        const char *message_id; /* 128 bits as 32 hex digits, one per kind of event: base/message_ids.h */
        const char *peer;       /* COAPD_PEER=, "203.0.113.7:5683" */
        const char *endpoint;   /* COAPD_ENDPOINT=, the uri of the config */
        const char *resource;   /* COAPD_RESOURCE=, the path, escaped */
        const char *identity;   /* COAPD_IDENTITY=, "psk:sensor-1" */
        const char *file;       /* COAPD_FILE=, a config, key or state file */
        int code;               /* COAPD_CODE=, the response code as 404; 0: none */
};

/* Looks once where stderr goes. Call first thing in main(). */
void log_open(void);

void log_set_level(int level);
int log_level(void);

static inline bool log_enabled(int level)
{
        return level <= log_level();
}

void log_message(int level, const struct log_fields *fields, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(...) log_message(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_message(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_message(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)                                                                                       \
        do {                                                                                                 \
                if (log_enabled(LOG_DEBUG))                                                                  \
                        log_message(LOG_DEBUG, NULL, __VA_ARGS__);                                           \
        } while (0)

/*
 * Writes `s` into `out` as printable UTF-8 or ASCII: control characters, backslashes and bytes that are no
 * UTF-8 as \xNN, cut with "..." where it does not fit. Returns `out`.
 */
const char *log_escape(struct span s, char *out, size_t size);

/* The same for a constant buffer size: LOG_ESCAPE(span) lives until the end of the enclosing block. */
#define LOG_ESCAPE(s) log_escape((s), (char[160]){ 0 }, 160)

#define LOG_BEFORE_SIZE 32

/*
 * A gate for messages that a peer can provoke: at most `burst` of them in `interval_s` seconds. Returns false
 * where the message is to be dropped; `*ret_suppressed` says how many were, with the first one let through.
 */
struct log_gate {
        unsigned burst;
        unsigned interval_s;
        unsigned seen;
        unsigned suppressed;
        long long window_start;
};
bool log_gate_pass(struct log_gate *gate, unsigned *ret_suppressed);

/* " (and 7 before)", or nothing for none. Returns `out`. */
const char *log_before(unsigned suppressed, char out[LOG_BEFORE_SIZE]);
#define LOG_BEFORE(suppressed) log_before((suppressed), (char[LOG_BEFORE_SIZE]){ 0 })

/*
 * log_message() through the gate, with the number of those that were dropped before it. Returns whether it is in the
 * log.
 */
bool log_gated(struct log_gate *gate, int level, const struct log_fields *fields, const char *fmt, ...)
        PRINTF_LIKE(4, 5);

/* What a peer may provoke as often as it likes, from one place of the source: five lines a minute. */
#define LOG_RARELY(level, fields, ...)                                                                       \
        do {                                                                                                 \
                static struct log_gate gate_ = { .burst = 5, .interval_s = 60 };                             \
                log_gated(&gate_, level, fields, __VA_ARGS__);                                               \
        } while (0)

#endif
