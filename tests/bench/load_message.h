/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CoAP as far as a load generator needs it: requests that are made once and patched for each sending, and a
 * reader of answers that looks at nothing but header, token, Observe, Echo, OSCORE and payload.
 *
 * RFC 7252, 3 (datagrams); RFC 8323, 3.2 (streams).
 */
#ifndef COAPD_BENCH_LOAD_MESSAGE_H
#define COAPD_BENCH_LOAD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_CON, MESSAGE_NON, MESSAGE_ACK, MESSAGE_RST };

enum {
        OPTION_OBSERVE = 6,
        OPTION_OSCORE = 9,
        OPTION_URI_PATH = 11,
        OPTION_CONTENT_FORMAT = 12,
        OPTION_URI_QUERY = 15,
        OPTION_ECHO = 252,
};

enum { TOKEN_SIZE = 4, TEMPLATE_MAX = 1280, HEADER_SIZE = 4 };

/* Points into the buffer that was read. */
struct message {
        uint8_t type; /* of a stream: MESSAGE_ACK, for nothing has to be acknowledged there */
        uint8_t code;
        uint16_t id;
        bool has_token; /* of TOKEN_SIZE bytes; we send no other */
        uint32_t token;
        bool has_observe;
        uint32_t observe;
        const uint8_t *echo;
        size_t n_echo;
        const uint8_t *oscore;
        size_t n_oscore;
        bool has_oscore;
        const uint8_t *payload;
        size_t n_payload;
};

/* A request without its message id, token and running number. */
struct template
{
        uint8_t bytes[TEMPLATE_MAX];
        size_t n;
        size_t number_at, n_number; /* the run of '@' in the path; n_number 0: none */
        size_t body_at, n_body;
};

struct request_shape {
        uint8_t type;
        uint8_t method;
        const char *path;  /* without the leading slash; a run of '@' is a running number */
        const char *query; /* without '?'; NULL: none */
        bool observe;
        size_t body;         /* bytes, of which the first ten are a running number */
        const uint8_t *echo; /* RFC 9175; NULL: none */
        size_t n_echo;
};

/* 0, or -EMSGSIZE. */
int template_init(struct template *self, const struct request_shape *shape);

/* Makes the request with these numbers in place; the result is good until the next call. */
void template_patch(struct template *self, uint16_t id, uint32_t token, uint64_t number,
                    uint64_t body_number);

/* 0, or -EBADMSG. */
int message_read(const uint8_t *p, size_t n, struct message *ret);

/* Code, options and payload only, as in the plaintext of OSCORE: fills all but type, id and token. */
int message_read_rest(const uint8_t *p, size_t n, struct message *ret);

/* The payload of a WebSocket frame: as in a stream, but the length field counts nothing. 0 or -EBADMSG. */
int message_read_frame(const uint8_t *p, size_t n, struct message *ret);

/* Bytes of the message that begins at p, 0 when it is not all there yet, or -EBADMSG. */
int64_t message_read_stream(const uint8_t *p, size_t n, struct message *ret);

/* Rewrites a datagram as a stream message; `out` has room for n + 8 bytes. Returns its length. */
size_t message_to_stream(const uint8_t *p, size_t n, uint8_t *out);

/* An empty ACK or RST: four bytes. */
void message_empty(uint8_t type, uint16_t id, uint8_t out[HEADER_SIZE]);

/* Writes an option's header and value; `last` is the number of the one before and is moved on. */
uint8_t *option_write(uint8_t *out, unsigned *last, unsigned number, const void *value, size_t n);

#endif
