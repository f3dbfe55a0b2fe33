/* SPDX-License-Identifier: BSD-2-Clause */
/* CoAP messages: see load_message.h. */
#include "load_message.h"

#include <errno.h>
#include <string.h>

enum { PAYLOAD_MARKER = 0xff, EXTENDED_8 = 13, EXTENDED_16 = 14, EXTENDED_32 = 15, BODY_DIGITS = 10 };

static unsigned nibble(size_t value)
{
        return value < 13 ? (unsigned)value : value < 269 ? EXTENDED_8 : EXTENDED_16;
}

static uint8_t *extended(uint8_t *out, size_t value)
{
        if (value >= 269) {
                *out++ = (uint8_t)((value - 269) >> 8);
                *out++ = (uint8_t)(value - 269);
        } else if (value >= 13) {
                *out++ = (uint8_t)(value - 13);
        }
        return out;
}

uint8_t *option_write(uint8_t *out, unsigned *last, unsigned number, const void *value, size_t n)
{
        unsigned delta = number - *last;

        *out++ = (uint8_t)(nibble(delta) << 4 | nibble(n));
        out = extended(out, delta);
        out = extended(out, n);
        if (n)
                memcpy(out, value, n);
        *last = number;
        return out + n;
}

/* Each segment is an option of its own. */
static uint8_t *write_segments(uint8_t *out, unsigned *last, unsigned number, const char *text,
                               char separator)
{
        while (*text) {
                const char *end = strchrnul(text, separator);

                out = option_write(out, last, number, text, (size_t)(end - text));
                text = *end ? end + 1 : end;
        }
        return out;
}

static void find_number(struct template *self, size_t from)
{
        const uint8_t *at = memchr(self->bytes + from, '@', self->n - from);

        if (!at)
                return;
        self->number_at = (size_t)(at - self->bytes);
        while (self->number_at + self->n_number < self->n && at[self->n_number] == '@')
                self->n_number++;
}

int template_init(struct template *self, const struct request_shape *shape)
{
        uint8_t *out = self->bytes;
        unsigned last = 0;

        memset(self, 0, sizeof(*self));
        if (strlen(shape->path) + (shape->query ? strlen(shape->query) : 0) + shape->body + shape->n_echo +
                    64 >
            sizeof(self->bytes))
                return -EMSGSIZE;

        *out++ = (uint8_t)(0x40 | shape->type << 4 | TOKEN_SIZE);
        *out++ = shape->method;
        out += 2 + TOKEN_SIZE;
        if (shape->observe)
                out = option_write(out, &last, OPTION_OBSERVE, NULL, 0);
        out = write_segments(out, &last, OPTION_URI_PATH, shape->path, '/');
        self->n = (size_t)(out - self->bytes);
        find_number(self, HEADER_SIZE + TOKEN_SIZE);
        if (shape->body)
                out = option_write(out, &last, OPTION_CONTENT_FORMAT, NULL, 0); /* text/plain */
        if (shape->query)
                out = write_segments(out, &last, OPTION_URI_QUERY, shape->query, '&');
        if (shape->echo)
                out = option_write(out, &last, OPTION_ECHO, shape->echo, shape->n_echo);
        if (shape->body) {
                *out++ = PAYLOAD_MARKER;
                memset(out, 'x', shape->body);
                self->body_at = (size_t)(out - self->bytes);
                self->n_body = shape->body;
                out += shape->body;
        }
        self->n = (size_t)(out - self->bytes);
        return 0;
}

static void write_digits(uint8_t *out, size_t n, uint64_t value)
{
        for (size_t i = n; i-- > 0; value /= 10)
                out[i] = (uint8_t)('0' + value % 10);
}

void template_patch(struct template *self, uint16_t id, uint32_t token, uint64_t number, uint64_t body_number)
{
        self->bytes[2] = (uint8_t)(id >> 8);
        self->bytes[3] = (uint8_t)id;
        memcpy(self->bytes + HEADER_SIZE, &token, TOKEN_SIZE);
        if (self->n_number)
                write_digits(self->bytes + self->number_at, self->n_number, number);
        if (self->n_body)
                write_digits(self->bytes + self->body_at,
                             self->n_body < BODY_DIGITS ? self->n_body : BODY_DIGITS, body_number);
}

void message_empty(uint8_t type, uint16_t id, uint8_t out[HEADER_SIZE])
{
        out[0] = (uint8_t)(0x40 | type << 4);
        out[1] = 0;
        out[2] = (uint8_t)(id >> 8);
        out[3] = (uint8_t)id;
}

/* -1: cut off or reserved. */
static int64_t read_extended(const uint8_t **p, const uint8_t *end, unsigned value)
{
        if (value < 13)
                return value;
        if (value == EXTENDED_8 && end - *p >= 1) {
                *p += 1;
                return (*p)[-1] + 13;
        }
        if (value == EXTENDED_16 && end - *p >= 2) {
                *p += 2;
                return ((*p)[-2] << 8 | (*p)[-1]) + 269;
        }
        return -1;
}

static void take_option(struct message *self, unsigned number, const uint8_t *value, size_t n)
{
        if (number == OPTION_OBSERVE) {
                self->has_observe = true;
                for (size_t i = 0; i < n; i++)
                        self->observe = self->observe << 8 | value[i];
        } else if (number == OPTION_OSCORE) {
                self->has_oscore = true;
                self->oscore = value;
                self->n_oscore = n;
        } else if (number == OPTION_ECHO) {
                self->echo = value;
                self->n_echo = n;
        }
}

static int read_options(const uint8_t *p, const uint8_t *end, struct message *ret)
{
        unsigned number = 0;

        while (p < end && *p != PAYLOAD_MARKER) {
                unsigned head = *p++;
                int64_t delta = read_extended(&p, end, head >> 4);
                int64_t n = read_extended(&p, end, head & 15);

                if (delta < 0 || n < 0 || n > end - p)
                        return -EBADMSG;
                number += (unsigned)delta;
                take_option(ret, number, p, (size_t)n);
                p += n;
        }
        if (p < end) {
                ret->payload = p + 1;
                ret->n_payload = (size_t)(end - p) - 1;
        }
        return 0;
}

static int read_token_and_options(const uint8_t *p, const uint8_t *end, unsigned n_token, struct message *ret)
{
        if (n_token > 8 || end - p < (ptrdiff_t)n_token)
                return -EBADMSG;
        if (n_token == TOKEN_SIZE) {
                ret->has_token = true;
                memcpy(&ret->token, p, TOKEN_SIZE);
        }
        return read_options(p + n_token, end, ret);
}

int message_read(const uint8_t *p, size_t n, struct message *ret)
{
        *ret = (struct message){ 0 };
        if (n < HEADER_SIZE || p[0] >> 6 != 1)
                return -EBADMSG;
        ret->type = p[0] >> 4 & 3;
        ret->code = p[1];
        ret->id = (uint16_t)(p[2] << 8 | p[3]);
        return read_token_and_options(p + HEADER_SIZE, p + n, p[0] & 15, ret);
}

int message_read_rest(const uint8_t *p, size_t n, struct message *ret)
{
        if (n < 1)
                return -EBADMSG;
        ret->code = p[0];
        ret->payload = NULL;
        ret->n_payload = 0;
        return read_options(p + 1, p + n, ret);
}

int message_read_frame(const uint8_t *p, size_t n, struct message *ret)
{
        if (n < 2)
                return -EBADMSG;
        ret->code = p[1];
        return read_token_and_options(p + 2, p + n, p[0] & 15, ret);
}

int64_t message_read_stream(const uint8_t *p, size_t n, struct message *ret)
{
        *ret = (struct message){ .type = MESSAGE_ACK };
        if (n < 2)
                return 0;

        unsigned field = p[0] >> 4;
        size_t n_extended = field < EXTENDED_8 ? 0 : 1u << (field - EXTENDED_8);
        size_t length = field;
        unsigned n_token = p[0] & 15;

        if (n < 2 + n_extended)
                return 0;
        if (n_extended) {
                static const size_t offset[] = { [1] = 13, [2] = 269, [4] = 65805 };

                length = 0;
                for (size_t i = 0; i < n_extended; i++)
                        length = length << 8 | p[1 + i];
                length += offset[n_extended];
        }
        size_t total = 2 + n_extended + n_token + length;

        if (n < total)
                return 0;
        ret->code = p[1 + n_extended];
        if (read_token_and_options(p + 2 + n_extended, p + total, n_token, ret) < 0)
                return -EBADMSG;
        return (int64_t)total;
}

size_t message_to_stream(const uint8_t *p, size_t n, uint8_t *out)
{
        unsigned n_token = p[0] & 15;
        size_t length = n - HEADER_SIZE - n_token;
        uint8_t *at = out;

        *at++ = (uint8_t)(nibble(length) << 4 | n_token);
        at = extended(at, length);
        *at++ = p[1];
        memcpy(at, p + HEADER_SIZE, n - HEADER_SIZE);
        return (size_t)(at - out) + n - HEADER_SIZE;
}
