/* SPDX-License-Identifier: BSD-2-Clause */
/* The log's sink; see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/utf8.h"

/* Fields of struct log_fields, MESSAGE= and PRIORITY=. */
enum { MAX_FIELDS = 10, MAX_FIELD = 256 };

static struct {
        int level;
        bool to_journal;
} log_state = { .level = LOG_INFO };

void log_open(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        /* systemd.exec(5), JOURNAL_STREAM: only equal numbers mean that stderr still is the journal's. */
        if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return;
        log_state.to_journal = st.st_dev == dev && st.st_ino == ino;
}

void log_set_level(int level)
{
        log_state.level = level;
}

int log_level(void)
{
        return log_state.level;
}

static const char *level_name(int level)
{
        static const char *const names[] = {
                "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug",
        };

        return names[level & LOG_PRIMASK];
}

static void write_stderr(int level, const char *text)
{
        struct timespec now;
        struct tm tm;
        char stamp[32];

        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
        fprintf(stderr, "%s.%03ld %-7s %s\n", stamp, now.tv_nsec / 1000000, level_name(level), text);
}

struct journal_entry {
        struct iovec iov[MAX_FIELDS];
        char field[MAX_FIELDS][MAX_FIELD];
        int n;
};

static void entry_add(struct journal_entry *entry, const char *name, const char *value)
{
        int n;

        if (!value)
                return;
        n = snprintf(entry->field[entry->n], MAX_FIELD, "%s=%s", name, value);
        entry->iov[entry->n] = (struct iovec){
                .iov_base = entry->field[entry->n],
                .iov_len = (size_t)MIN(n, MAX_FIELD - 1),
        };
        entry->n++;
}

static void write_journal(int level, const struct log_fields *fields, char *message, size_t length)
{
        struct journal_entry entry = { .n = 0 };
        char number[16];

        entry.iov[entry.n++] = (struct iovec){ .iov_base = message, .iov_len = length };
        snprintf(number, sizeof number, "%d", level);
        entry_add(&entry, "PRIORITY", number);
        if (fields) {
                entry_add(&entry, "MESSAGE_ID", fields->message_id);
                entry_add(&entry, "COAPD_PEER", fields->peer);
                entry_add(&entry, "COAPD_ENDPOINT", fields->endpoint);
                entry_add(&entry, "COAPD_RESOURCE", fields->resource);
                entry_add(&entry, "COAPD_IDENTITY", fields->identity);
                entry_add(&entry, "COAPD_FILE", fields->file);
                snprintf(number, sizeof number, "%d", fields->code);
                entry_add(&entry, "COAPD_CODE", fields->code ? number : NULL);
        }
        sd_journal_sendv(entry.iov, entry.n);
}

const char *log_before(unsigned suppressed, char out[LOG_BEFORE_SIZE])
{
        out[0] = '\0';
        if (suppressed > 0)
                snprintf(out, LOG_BEFORE_SIZE, " (and %u before)", suppressed);
        return out;
}

static void write_line(int level, const struct log_fields *fields, unsigned left_out, const char *fmt,
                       va_list ap) __attribute__((format(printf, 4, 0)));

static void write_line(int level, const struct log_fields *fields, unsigned left_out, const char *fmt,
                       va_list ap)
{
        static const char prefix[] = "MESSAGE=";
        enum { PREFIX = sizeof prefix - 1 };
        char line[2048];
        size_t n;

        memcpy(line, prefix, PREFIX);
        vsnprintf(line + PREFIX, sizeof line - PREFIX, fmt, ap);
        n = strlen(line);
        snprintf(line + n, sizeof line - n, "%s", LOG_BEFORE(left_out));
        n = strlen(line);
        while (n > PREFIX && line[n - 1] == '\n')
                line[--n] = '\0';

        if (log_state.to_journal)
                write_journal(level, fields, line, n);
        else
                write_stderr(level, line + PREFIX);
}

void log_message(int level, const struct log_fields *fields, const char *fmt, ...)
{
        va_list ap;

        if (!log_enabled(level))
                return;
        va_start(ap, fmt);
        write_line(level, fields, 0, fmt, ap);
        va_end(ap);
}

bool log_gated(struct log_gate *gate, int level, const struct log_fields *fields, const char *fmt, ...)
{
        unsigned left_out;
        va_list ap;

        if (!log_enabled(level) || !log_gate_pass(gate, &left_out))
                return false;
        va_start(ap, fmt);
        write_line(level, fields, left_out, fmt, ap);
        va_end(ap);
        return true;
}

/* Marks that begin another line or turn the direction of one round. */
static bool turns_lines(uint32_t character)
{
        return (character >= 0x2028 && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069);
}

/* Length of the printable character at the head of `s`; 0 when there is none. */
static size_t printable_first(struct span s)
{
        uint32_t character;
        size_t n = utf8_first(s, &character);

        if (n == 0 || character < 0x20 || (character >= 0x7f && character < 0xa0) || character == '\\' ||
            turns_lines(character))
                return 0;
        return n;
}

const char *log_escape(struct span s, char *out, size_t size)
{
        static const char ellipsis[] = "...";
        size_t used = 0;

        while (s.n > 0) {
                size_t n = printable_first(s);
                size_t need = n ? n : 4;

                if (used + need + sizeof ellipsis > size) {
                        memcpy(out + used, ellipsis, sizeof ellipsis - 1);
                        used += sizeof ellipsis - 1;
                        break;
                }
                if (n)
                        memcpy(out + used, s.p, n);
                else
                        snprintf(out + used, 5, "\\x%02x", s.p[0]);
                used += need;
                s = span_skip(s, n ? n : 1);
        }
        out[used] = '\0';
        return out;
}

bool log_gate_pass(struct log_gate *gate, unsigned *ret_suppressed)
{
        struct timespec now;

        *ret_suppressed = 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - gate->window_start >= gate->interval_s) {
                *ret_suppressed = gate->suppressed;
                gate->window_start = now.tv_sec;
                gate->seen = gate->suppressed = 0;
        }
        if (gate->seen < gate->burst) {
                gate->seen++;
                return true;
        }
        gate->suppressed++;
        return false;
}
