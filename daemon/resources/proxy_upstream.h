/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to another server: requests of ours, over a session that is there while it is used. It has a libcoap context
 * of its own on the same loop, so that what serves our clients and what asks for them never meet inside of libcoap.
 *
 * A name is looked up in the background (getaddrinfo_a(3)), each time that a session is to begin; requests wait for it.
 */
#ifndef COAPD_RESOURCES_PROXY_UPSTREAM_H
#define COAPD_RESOURCES_PROXY_UPSTREAM_H

#include <coap3/coap.h>
#include <systemd/sd-event.h>

#include "base/buf.h"
#include "resources/kind.h"

struct proxy_conf {
        char *target;  /* NULL: a forward proxy, for `targets` */
        unsigned link; /* the interface that a link-local target is on; no key of the config */
        struct conf_strings targets;
        char *identity, *key, *key_file;
        char *ca, *certificate, *private_key;
        long long timeout;         /* seconds until a client is told 5.04 */
        long long session_timeout; /* seconds an idle session is kept */
        long long parallel;        /* NSTART of RFC 7252, 4.7 */
        long long cache_entries, cache_bytes;
        long long max_size;
};

extern const struct conf_row proxy_rows[];
enum { PROXY_ROWS = 14 };
const char *proxy_check(const void *fields, const void **ret_member);

struct upstream;
struct exchange;

/* What came back, or why nothing did. Borrowed for the call. */
struct upstream_answer {
        uint8_t code;
        const char *diagnostic; /* of our own: there was no answer */
        struct span body;
        int content_format; /* -1: none */
        struct etag etag;
        uint32_t max_age;
        uint32_t size1;
        struct span options; /* the others that go through */
        bool observed;       /* more answers follow */
};

struct upstream_request {
        enum method method;
        struct span options; /* ascending but for what is added here; see proxy_options.h */
        struct span body;
        bool observe;
        struct etag etag; /* of what we have, for 2.03 */
        /* Called once, from the loop, for each answer; more than once while it is observed. */
        void (*answered)(void *user, const struct upstream_answer *answer);
        void *user;
};

/*
 * `conf` is copied, and so is `own`: the path of the proxy's resource as Uri-Path options, for locations.
 * 0 or -errno after a line in the log.
 */
int upstream_new(sd_event *event, const struct proxy_conf *conf, struct span own,
                 struct upstream **ret_upstream);
void upstream_free(struct upstream *upstream);
/* Whether both go the same way: then `b` only differs in its numbers, which upstream_adopt() takes over. */
bool upstream_same(const struct upstream *a, const struct upstream *b);
void upstream_adopt(struct upstream *upstream, const struct proxy_conf *conf);

/* The path of the target as Uri-Path options, and its name for Uri-Host; NULL: it is an address. */
struct span upstream_base(const struct upstream *upstream);
const char *upstream_host(const struct upstream *upstream);

/* NULL: no memory. What the request points to is copied. */
struct exchange *upstream_ask(struct upstream *upstream, const struct upstream_request *request);
/* The same request again, such as to renew an observation. */
void exchange_again(struct exchange *exchange, const struct etag *etag);
/* Nobody wants the answer any more; an observation ends. Accepts NULL. Allowed from within `answered`. */
void exchange_end(struct exchange *exchange);

#endif
