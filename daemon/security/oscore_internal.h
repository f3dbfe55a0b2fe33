/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of OSCORE share: contexts (oscore.c) and where libcoap has them, for datagrams (oscore_places.c) and
 * for all else (oscore_streams.c), how a place counts its sequence numbers (oscore_sequence.c), the watch over
 * their use (oscore_watch.c), a look into a request (oscore_read.c), and whose message is at hand (oscore_message.c,
 * oscore_observers.c).
 */
#ifndef COAPD_SECURITY_OSCORE_INTERNAL_H
#define COAPD_SECURITY_OSCORE_INTERNAL_H

#include "base/buf.h"
#include "security/oscore.h"
#include "security/oscore_keys.h"

/* The requests of a recipient that came in one place, by their numbers. */
struct oscore_window {
        struct oscore_window *next;
        size_t home;
        bool used;
        uint64_t newest;
        uint64_t seen; /* bit 0 is `newest`, bit 1 the one before it */
};

struct oscore_recipient {
        struct oscore_recipient *next;
        uint8_t id[OSCORE_ID_MAX];
        size_t id_n;
        char name[2 * OSCORE_ID_MAX]; /* hex digits */
        uint8_t key[OSCORE_KEY_SIZE];
        struct oscore_window *windows;
        bool welcome;     /* in the present config */
        bool live;        /* known to libcoap, for datagrams */
        uint64_t streams; /* and for streams: a bit for each shard that may have them */
};

/* A context as it is written down: in the config, or in a file of libcoap's. */
struct oscore_source {
        struct conf_origin at;
        struct secret sender_id, secret, salt, id_context;
        struct secret *recipients;
        size_t n_recipients;
        unsigned replay_window; /* 0: libcoap's default */
};

/* 0, -ENOMEM, or -EINVAL with the error reported; then, too, oscore_source_deinit() is called for. */
int oscore_source_of_config(const struct conf_oscore *conf, struct key_errors *errors,
                            struct oscore_source *ret_source);
int oscore_source_of_file(const char *file, struct conf_origin at, struct key_errors *errors,
                          struct oscore_source *ret_source);
void oscore_source_deinit(struct oscore_source *source);

/*
 * A context as one of libcoap's has it. The same sender key is in several places: none counts where another one does,
 * so that no nonce is used twice.
 */
struct oscore_place {
        struct oscore_place *next; /* of streams, an older one */
        struct oscore_context *context;
        coap_context_t *coap; /* NULL: nowhere */
        size_t home;          /* which one of the shards that is */
        bool first;           /* of all there, so that it takes new recipients */
        enum oscore_range range;
        uint64_t begin, end; /* the numbers that it may use: from `begin` to below `end` */
        char sequence[OSCORE_NAME_SIZE];
        bool stored;       /* sequence numbers are */
        bool succeeded;    /* by another place in the same range, which stores them */
        bool stalled;      /* a sequence number could not be stored */
        bool told;         /* and that is in the log */
        uint64_t wanted;   /* which */
        uint64_t next_own; /* sequence numbers below are used up */
};

struct oscore_context {
        struct oscore *owner;
        struct conf_origin at;
        uint8_t sender_id[OSCORE_ID_MAX];
        size_t sender_id_n;
        struct secret secret, salt, id_context;
        uint8_t sender_key[OSCORE_KEY_SIZE];
        uint8_t common_iv[OSCORE_NONCE_SIZE];
        struct oscore_recipient *recipients;
        unsigned replay_window;
        struct oscore_place datagrams; /* where there is one shard only, also for all else */
        struct oscore_place *streams;  /* the newest first */
};

/* Where the messages of a recipient are to go. */
struct oscore_route {
        struct span id_context, recipient_id;
        const struct oscore_context *context;
        const struct oscore_recipient *recipient;
};

/* A key in use. */
struct oscore_key {
        uint8_t key[OSCORE_KEY_SIZE];
        struct oscore_context *context;
        struct oscore_recipient *recipient; /* NULL: the sender's key */
};

/* As of SHA-256. */
#define OSCORE_DIGEST_SIZE 32

/* Nonces of requests that are not answered yet. */
#define OSCORE_LEDGER_SIZE 256

struct oscore_ledger {
        struct {
                const struct oscore_context *context; /* NULL: free */
                uint8_t nonce[OSCORE_NONCE_SIZE];
        } v[OSCORE_LEDGER_SIZE];
        size_t newest;
};

struct oscore_observers;

struct oscore {
        struct oscore *next; /* in the list of those that are open */
        struct shards shards;
        const struct security_store *store;
        struct oscore_context **contexts;
        size_t n;
        bool has_streams;            /* endpoints of other transports than UDP */
        size_t streams;              /* the shard for new sessions of these */
        struct oscore_route *routes; /* sorted, one for each two ids */
        size_t n_routes;
        struct oscore_key *keys; /* sorted */
        size_t n_keys;
        struct oscore_ledger ledger;
        bool opened; /* a message, since somebody asked */
        /* The last message that was decrypted, until a handler asks for it. */
        const struct oscore_recipient *decrypted_by;
        struct buf plaintext;
        bool in_the_clear; /* the message at hand was not protected, as far as is known: nor is what it draws */
        /* The message in the handler's hands. */
        const coap_session_t *session;
        const struct oscore_recipient *sender;
        struct oscore_observers *observers;
};

/* oscore.c */
void oscore_context_free(struct oscore_context *context);
/* A recipient id in the same id context, by which libcoap finds one of the two. */
bool oscore_share_a_peer(const struct oscore_context *a, const struct oscore_context *b);

/* oscore_places.c */

/* Gives the context to libcoap, for datagrams. 0, -EBUSY when all places have a recipient of the same id, or -EINVAL,
 * logged. */
int oscore_places_open(struct oscore_context *context);
/* Opens one place in a shard, with the recipients that are welcome. 0 or -EINVAL, logged. */
int oscore_place_open(struct oscore_place *place, size_t home);
/* False: not before a restart. */
bool oscore_place_add(const struct oscore_place *place, const struct oscore_recipient *recipient);
bool oscore_places_add(struct oscore_context *context, struct oscore_recipient *recipient);
/* To be called whenever recipients have come, or are welcome or not any more. 0 or -ENOMEM. */
int oscore_index_routes(struct oscore *oscore);
/* NULL: there is none. */
const struct oscore_route *oscore_route_find(const struct oscore *oscore, struct span recipient_id,
                                             struct span id_context);

/* oscore_streams.c */

/*
 * Brings all that is in the config to the shard for new sessions of streams and DTLS; if the present one cannot take
 * it, to the next. While the contexts have their secrets. 0 or -errno, logged.
 */
int oscore_streams_settle(struct oscore *oscore);
struct oscore_place *oscore_streams_at(const struct oscore_context *context, size_t home);
void oscore_streams_free(struct oscore_context *context);

/* oscore_sequence.c */

/* Where a place begins to count; to be called once, before it is one of the context's. 0 or -EIO. */
int oscore_sequence_begin(struct oscore_place *place);
/* Whether the sender may use the number now; then it is used up. */
bool oscore_sequence_use(struct oscore_context *context, uint64_t number);
/* libcoap asks for numbers below `number` to be used up. */
int oscore_sequence_save(uint64_t number, void *place);

/* oscore_watch.c */
int oscore_watch(struct oscore *oscore);
void oscore_unwatch(struct oscore *oscore);
int oscore_index_keys(struct oscore *oscore);

/* oscore_read.c: what an OSCORE option says. False when it makes no sense. */
struct oscore_option {
        struct span partial_iv, id_context, id;
};
bool oscore_option_read(struct span value, struct oscore_option *ret_option);

/* oscore_observers.c: which recipient has begun an observation. */
struct oscore_endpoint {
        const coap_context_t *context;
        coap_proto_t proto;
        uint8_t address[16];
        uint16_t port;
};
struct oscore_endpoint oscore_endpoint_of(const coap_context_t *context, coap_proto_t proto,
                                          const coap_address_t *remote);

/* What its request asks for, so that another one with its token does not pass for it. */
struct oscore_asked {
        uint8_t digest[OSCORE_DIGEST_SIZE];
};

int oscore_observers_new(struct oscore_observers **ret_observers);
void oscore_observers_free(struct oscore_observers *observers);
void oscore_observers_add(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                          struct span token, const struct oscore_asked *asked,
                          const struct oscore_recipient *recipient);
const struct oscore_recipient *oscore_observers_find(struct oscore_observers *observers,
                                                     const struct oscore_endpoint *endpoint,
                                                     struct span token, const struct oscore_asked *asked);
bool oscore_observers_have(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                           struct span token);
void oscore_observers_remove(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                             struct span token);
void oscore_observers_remove_all(struct oscore_observers *observers, const struct oscore_endpoint *endpoint);

#endif
