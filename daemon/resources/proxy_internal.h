/* SPDX-License-Identifier: BSD-2-Clause */
/* What proxy_upstream.c (the loop), proxy_session.c and proxy_exchange.c (a request and its answer) share. */
#ifndef COAPD_RESOURCES_PROXY_INTERNAL_H
#define COAPD_RESOURCES_PROXY_INTERNAL_H

#include <netdb.h>

#include "resources/proxy_options.h"
#include "resources/proxy_upstream.h"

struct resolver;

enum { UPSTREAM_TOKEN = 8 };

struct exchange {
        struct exchange *prev, *next;
        struct upstream *upstream;
        enum { EXCHANGE_QUEUED, EXCHANGE_SENT, EXCHANGE_OBSERVED, EXCHANGE_OVER } state;
        uint8_t token[UPSTREAM_TOKEN];
        uint8_t more_token[UPSTREAM_TOKEN]; /* of what fetches the rest of a notification */
        struct upstream_request request;
        struct buf options, body;
        uint64_t sent_us;
        uint64_t deadline_us; /* while an answer is waited for */

        size_t sent;  /* bytes of the body, block by block */
        unsigned szx; /* of Block1 */

        /* The answer so far. */
        struct upstream_answer answer;
        struct buf answer_body, answer_options;
        unsigned restarts;
        bool fetches_rest; /* while an observation goes on */
        bool ready;        /* to be told */
        bool echoes;       /* what is sent has the target's Echo already */
        uint8_t echo[40];  /* RFC 9175, 2.2.1 */
        size_t echo_n;
        uint32_t observe_number;
        uint64_t observe_us;
};

struct upstream {
        sd_event *event;
        struct proxy_conf *conf; /* a copy: the config may go before it */
        coap_context_t *context;
        coap_session_t *session; /* NULL: none */
        sd_event_source *io, *timer, *settle;
        struct exchange *first;
        struct exchange *telling; /* whose answer is told right now */
        bool telling_ended;
        uint64_t next_token;
        uint64_t idle_since_us, heard_us;
        const char *failure; /* of the session, to be dealt with outside of libcoap */

        coap_proto_t proto;
        char host[256];
        uint16_t port;
        bool is_name;
        struct buf base, own;
        struct resolver *resolver;
        struct buf key;
};

uint64_t upstream_now(const struct upstream *upstream);
/* Something is to be done outside of libcoap's callbacks. */
void upstream_settle_soon(struct upstream *upstream);

/* proxy_session.c */
/* Begins one, if there is none, or none on its way: it may take a while. */
void session_open(struct upstream *upstream);
void session_close(struct upstream *upstream);
/* What had been sent over it has failed. */
void session_give_up(struct upstream *upstream, const char *diagnostic);
int session_on_event(coap_session_t *session, coap_event_t event);
void session_on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
                     const coap_mid_t mid);

/* proxy_exchange.c */
/* Sends what comes next: the request, or its next block. */
void exchange_send(struct exchange *exchange);
void exchange_fail(struct exchange *exchange, uint8_t code, const char *diagnostic);
coap_response_t exchange_on_response(coap_session_t *session, const coap_pdu_t *sent,
                                     const coap_pdu_t *received, const coap_mid_t mid);
void exchange_free(struct exchange *exchange);
/* The request with another Observe option; NULL: no memory. */
coap_pdu_t *exchange_message(struct exchange *exchange, uint32_t observe);

/* proxy_keys.c */
/* The file of those whom this system trusts. */
const char *proxy_system_ca(void);
/* NULL: no memory. */
struct proxy_conf *proxy_conf_copy(const struct proxy_conf *conf);
void proxy_conf_free(struct proxy_conf *conf);
bool proxy_conf_same_way(const struct proxy_conf *a, const struct proxy_conf *b);
void proxy_conf_take_numbers(struct proxy_conf *to, const struct proxy_conf *from);
/* The path of a URI as Uri-Path options. 0 or -errno. */
int proxy_read_path(const coap_uri_t *uri, struct buf *base);
/* Fills in what the config says. 0 or -errno. */
int proxy_read_target(const struct proxy_conf *conf, struct upstream *upstream);

/* proxy_resolver.c: a name looked up in the background. */
/* `found` gets a list that it frees with freeaddrinfo(); NULL: there is no such name. */
int resolver_start(sd_event *event, const char *host, void (*found)(void *user, struct addrinfo *list),
                   void *user, struct resolver **ret_resolver);
/* Accepts NULL. */
void resolver_free(struct resolver *resolver);

#endif
