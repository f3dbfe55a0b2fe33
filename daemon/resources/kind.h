/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of a resource kind: what a file such as time.c implements, and all that it needs to know.
 *
 * The registry does what every resource needs (access rules, ETag and 2.03, If-Match, Accept, Max-Age, block-wise
 * transfer, Observe, error payloads, duplicates) and calls a kind only for its content. A handler gets a
 * complete request, the body in one piece, and fills a response.
 *
 * A new kind is one file with a `const struct kind kind_NAME` and one line in kinds.def.
 */
#ifndef COAPD_RESOURCES_KIND_H
#define COAPD_RESOURCES_KIND_H

#include <stdint.h>

#include "base/daemon_state.h"
#include "base/span.h"
#include "base/util.h"
#include "config/config.h"
#include "resources/representation.h"

struct resource;
struct buf;
struct stored_resource;

/* The values are the request codes of RFC 7252, 12.1.1 and RFC 8132, 4. */
enum method {
        METHOD_GET = 1,
        METHOD_POST,
        METHOD_PUT,
        METHOD_DELETE,
        METHOD_FETCH,
        METHOD_PATCH,
        METHOD_IPATCH,
};

enum { METHOD_COUNT = METHOD_IPATCH, MAX_QUERIES = 32 };

/* Codes as on the wire, class and detail: CODE(4, 04). */
#define CODE(class, detail) ((uint8_t)((class) << 5 | (detail)))

enum code {
        CODE_CREATED = CODE(2, 1),
        CODE_DELETED = CODE(2, 2),
        CODE_VALID = CODE(2, 3),
        CODE_CHANGED = CODE(2, 4),
        CODE_CONTENT = CODE(2, 5),
        CODE_CONTINUE = CODE(2, 31),
        CODE_BAD_REQUEST = CODE(4, 0),
        CODE_UNAUTHORIZED = CODE(4, 1),
        CODE_BAD_OPTION = CODE(4, 2),
        CODE_FORBIDDEN = CODE(4, 3),
        CODE_NOT_FOUND = CODE(4, 4),
        CODE_METHOD_NOT_ALLOWED = CODE(4, 5),
        CODE_NOT_ACCEPTABLE = CODE(4, 6),
        CODE_INCOMPLETE = CODE(4, 8),
        CODE_CONFLICT = CODE(4, 9),
        CODE_PRECONDITION_FAILED = CODE(4, 12),
        CODE_TOO_LARGE = CODE(4, 13),
        CODE_UNSUPPORTED_FORMAT = CODE(4, 15),
        CODE_UNPROCESSABLE = CODE(4, 22),
        CODE_TOO_MANY_REQUESTS = CODE(4, 29),
        CODE_INTERNAL_ERROR = CODE(5, 0),
        CODE_NOT_IMPLEMENTED = CODE(5, 1),
        CODE_BAD_GATEWAY = CODE(5, 2),
        CODE_UNAVAILABLE = CODE(5, 3),
        CODE_GATEWAY_TIMEOUT = CODE(5, 4),
        CODE_PROXYING_NOT_SUPPORTED = CODE(5, 5),
        CODE_HOP_LIMIT_REACHED = CODE(5, 8),
};

/* Everything in it is borrowed for the call. */
struct request {
        enum method method;
        struct span path; /* as libcoap spells it, percent-encoded */
        struct span rest; /* of a KIND_SUBTREE: the path below the resource's own, "" for itself */
        struct span queries[MAX_QUERIES]; /* Uri-Query options, decoded as they came */
        size_t n_queries;
        struct span body;
        int content_format;            /* of the body; -1: none given */
        int accept;                    /* -1: none given */
        bool observe;                  /* registers an observation, or is one being served */
        bool also;                     /* it came to the kind's also_at(); `rest` is "" */
        const struct message *message; /* with all of its options, see message.h; NULL: it is no client's */
};

struct response {
        uint8_t code; /* 0 where a handler forgot: answered as 5.00 */
        /* The content of a 2.05, taken over by the registry. */
        struct representation *content;
        /* For errors: a sentence for the client, static or in `text`. */
        const char *diagnostic;
        char text[128];
        /* Seconds the content is fresh, or of an error until a retry makes sense; -1: not told. */
        int64_t max_age;
        /* 2.01 of a POST: the new member's segment below the request's path; borrowed until the response is sent. */
        struct span location;
        /* 4.13: the largest body that would be taken (RFC 7959, 2.9.3); 0: not told. */
        uint32_t size1;
        /* The content is sent along with a code other than 2.05 too; else it only lends its ETag to others. */
        bool with_content;
        /* More options, each as number and length (2 bytes each, big end first) and value; borrowed until sent. */
        struct span options;
        bool later; /* by resource_answer_later() */
        bool prove; /* by request_has_proved() */
};

/* Fills code and diagnostic; printf-like. Returns nothing, so that handlers can `return response_error(...)`. */
void response_error(struct response *response, uint8_t code, const char *fmt, ...) PRINTF_LIKE(3, 4);

enum kind_flag {
        KIND_SUBTREE = 1 << 0, /* gets the requests for every path below its own too */
        /* Its content is another one soon: a client that fetches it block by block gets what it began with. */
        KIND_FLEETING = 1 << 1,
        /* It answers later: only an answer tells whether a path below can be observed. */
        KIND_SLOW = 1 << 2,
        /* If-Match and If-None-Match are for the kind to see to, not for the registry. */
        KIND_CONDITIONS = 1 << 3,
};

/* A link in /.well-known/core of a kind that has more than the one to itself. */
struct kind_link {
        const char *rest; /* below the resource's path; "": itself. NULL: the end */
        const char *resource_type;
        enum method method; /* who may use that sees the link */
        bool observable;
};

struct kind {
        const char *name;
        const char *doc; /* for the manual page */
        /* Config keys beside those that every resource has; offsets into a struct of conf_size bytes. */
        const struct conf_row *rows;
        size_t n_rows;
        size_t conf_size;
        unsigned flags; /* enum kind_flag */
        /* What `rt` says in /.well-known/core when the config says nothing; NULL: nothing. */
        const char *resource_type;

        /* What stands in /.well-known/core in place of the one link to the resource; NULL: that. */
        const struct kind_link *links;

        /* Rules between the keys; as in struct conf_variant. NULL: none. */
        const char *(*check)(const void *fields, const void **ret_member);

        /* `conf->fields` is the kind's own struct. 0, or -errno after one line in the log. */
        int (*create)(struct resource *resource, const struct conf_resource *conf, void **ret_self);
        /*
         * At a reload, for a state that outlives it: `conf` takes the place of the config before, which is gone
         * afterwards. It cannot be refused, and observers are told by the kind. NULL: a reload creates a new state.
         */
        void (*reconfigure)(void *self, const struct conf_resource *conf);
        void (*destroy)(void *self);

        /* A method without a function is answered 4.05. */
        void (*handle[METHOD_COUNT + 1])(void *self, const struct request *request,
                                         struct response *response);

        /*
         * Whether there is something to tell observers; until then resource_changed() does nothing, such as after a
         * restart, when an error would end their observations. The kind calls it once there is. NULL: always.
         */
        bool (*ready)(void *self);
        /* Somebody observes now, nobody did before. */
        void (*observed)(void *self);
        /* The time asked for by resource_wake_at() has come. */
        void (*wake)(void *self, uint64_t now_us);
        /* Content formats for `ct` in /.well-known/core, ascending; returns how many were written. */
        size_t (*formats)(void *self, int formats[], size_t max);
        /* The size for `sz`; 0: not told. */
        uint64_t (*size)(void *self);
        /* The largest request body, in bytes; NULL: that of dynamic resources. */
        size_t (*max_body)(void *self);
        /*
         * KIND_SUBTREE whose PUT and POST make what is not there: whether something is. If not, the peer needs leave
         * to create. NULL: it makes nothing.
         */
        bool (*has_below)(void *self, struct span rest);
        /* Whether a client may change anything with this config. NULL: yes, if there is a handler that could. */
        bool (*is_writable)(const void *fields);
        /*
         * KIND_SUBTREE: somebody wants to observe a path below. 0: from now on its changes are told by
         * resource_below_changed() and resource_below_gone(); else it is answered, but not observed. It may come
         * again for the same path. NULL: paths below cannot be observed.
         */
        int (*observe_below)(void *self, struct span rest);
        /*
         * KIND_SUBTREE: what resource_store() kept, at a start, or when a change of it did not last; NULL: nothing
         * is kept of this path. 0; or -errno: it is left where it is, for another config.
         */
        int (*stored)(void *self, struct span rest, const struct stored_resource *stored);
        /* KIND_SLOW: what ready() is to the resource itself. NULL: always. */
        bool (*ready_below)(void *self, struct span rest);
        /*
         * KIND_SLOW: somebody observes again, as before a restart, with this request, be it the resource itself or a
         * path below. NULL: that is of no interest.
         */
        void (*observer_returns)(void *self, const struct request *request);
        /*
         * KIND_SUBTREE: whether requests with Proxy-Uri or Proxy-Scheme come here with this config, as requests for
         * SCHEME/HOST:PORT/PATH below. NULL: no.
         */
        bool (*forwards)(const void *fields);
        /* One that does: whether it takes this SCHEME/HOST:PORT/PATH. Of several the first that does is asked. */
        bool (*has_way)(void *self, struct span rest);
        /* KIND_SUBTREE: as in struct conf_variant. Requests for that path come with `also`. NULL: nothing. */
        const char *(*also_at)(const void *fields, const void **ret_member);
};

/* --- what a kind may ask of the registry --- */

/* Wakes the kind at `realtime_us` (microseconds since 1970). Asked again, the later call counts. */
int resource_wake_at(struct resource *resource, uint64_t realtime_us);

/* The content changed: tells the observers. Returns whether there are any. */
bool resource_changed(struct resource *resource);

/*
 * The same where the content format is another one now: the observers are told 4.06 and are none any more
 * (RFC 7641, 4.2).
 */
bool resource_changed_format(struct resource *resource);

/*
 * KIND_SUBTREE: the content of an observed path below changed, or it is gone, which ends its observations. Not from
 * within a handler. Returns whether it is observed still.
 */
bool resource_below_changed(struct resource *resource, struct span rest);
void resource_below_gone(struct resource *resource, struct span rest);

/* Whether anybody observes it, or the path below it that `rest` is. */
bool resource_is_observed(const struct resource *resource, struct span rest);

/*
 * From within a handler: the answer comes later. The client gets an empty acknowledgement, and has the answer as a
 * message of its own (RFC 7252, 5.2.2). What a request needs beforehand, access and a whole body, is done with, what is
 * done with an answer (ETag, Accept, blocks, Observe) is done then; a request that comes twice is handled once.
 */
struct pending;
struct wait {
        uint64_t most_us; /* then it is answered 5.04 */
        /* There is nobody to be answered any more, nor is the pending request: time is up, the client or the resource
         * went, the daemon ends. Not called once it was answered. */
        void (*ended)(void *user);
        void *user;
};
/*
 * NULL: it cannot wait, the response says so with 5.03 unless the handler has something to say itself. That is a
 * notification, too many that wait, or no client's request at all (`request->message` is NULL).
 */
struct pending *resource_answer_later(struct resource *resource, const struct request *request,
                                      struct response *response, const struct wait *wait);
/* Answers it, any time but within resource_answer_later(). Takes over the content; all else is copied. */
void request_answer(struct pending *pending, struct response *response);

/* The loop, for kinds with event sources of their own. */
struct sd_event *resource_event(struct resource *resource);

/* What the daemon is doing, for a kind that tells of it. */
void resource_daemon_state(const struct resource *resource, struct daemon_state *ret_state);

/*
 * KIND_SUBTREE: keeps something of a path below over restarts, as dynamic resources are kept; `stored->path` is filled
 * in. 0, or -errno: nothing has changed, and response_refused_by_store() says so to the client.
 */
int resource_store(struct resource *resource, struct span rest, struct stored_resource *stored);
int resource_unstore(struct resource *resource, struct span rest);
void response_refused_by_store(struct response *response, int error);

/* Appends "coap://[2001:db8::1]:61616", where the request came from. False: that has no URI. */
bool request_peer_uri(const struct request *request, struct buf *out);
/* The interface that it came in on from a link-local address, else 0. */
unsigned request_peer_link(const struct request *request);
/*
 * Whether who asked gets what is sent to its address, as far as the config wants that proved (limits.unproven). If
 * not, the response asks for the proof: 4.01 with an Echo option (RFC 9175, 2.4).
 */
bool request_has_proved(const struct resource *resource, const struct request *request,
                        struct response *response);
/* Appends who the peer proved to be, "psk:sensor-1"; nothing for a stranger. */
void resource_identify(const struct resource *resource, const struct request *request, struct buf *out);

/* The path in libcoap's spelling, for the log and for links. */
const char *resource_path(const struct resource *resource);

/* Finds a query `name=value` or `name`; the value is empty for the latter. */
bool request_query(const struct request *request, const char *name, struct span *ret_value);

#endif
