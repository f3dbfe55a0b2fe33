/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of OSCORE share: contexts (oscore.c), the watch over their use (oscore_watch.c), and whose
 * message is at hand (oscore_message.c, oscore_observers.c).
 */
#ifndef COAPD_SECURITY_OSCORE_INTERNAL_H
#define COAPD_SECURITY_OSCORE_INTERNAL_H

#include "base/buf.h"
#include "security/oscore.h"
#include "security/oscore_keys.h"

struct oscore_recipient {
        struct oscore_recipient *next;
        uint8_t id[OSCORE_ID_MAX];
        size_t id_n;
        char name[2 * OSCORE_ID_MAX]; /* hex digits */
        uint8_t key[OSCORE_KEY_SIZE];
        bool welcome; /* in the present config */
        bool live;    /* known to libcoap */
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

struct oscore_context {
        struct oscore *owner;
        struct conf_origin at;
        uint8_t sender_id[OSCORE_ID_MAX];
        size_t sender_id_n;
        struct secret secret, salt, id_context;
        uint8_t sender_key[OSCORE_KEY_SIZE];
        uint8_t common_iv[OSCORE_NONCE_SIZE];
        char sequence[OSCORE_NAME_SIZE];
        struct oscore_recipient *recipients;
        unsigned replay_window;
        bool stored;       /* sequence numbers are */
        bool stalled;      /* a sequence number could not be stored */
        bool told;         /* and that is in the log */
        uint64_t wanted;   /* which */
        uint64_t next_own; /* sequence numbers below are used up */
};

/* A key in use. */
struct oscore_key {
        uint8_t key[OSCORE_KEY_SIZE];
        struct oscore_context *context;
        struct oscore_recipient *recipient; /* NULL: the sender's key */
};

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
        coap_context_t *coap;
        const struct security_store *store;
        struct oscore_context **contexts;
        size_t n;
        struct oscore_key *keys; /* sorted */
        size_t n_keys;
        struct oscore_ledger ledger;
        /* The last message that was decrypted, until a handler asks for it. */
        const struct oscore_recipient *decrypted_by;
        struct buf plaintext;
        /* The message in the handler's hands. */
        const coap_session_t *session;
        const struct oscore_recipient *sender;
        struct oscore_observers *observers;
};

/* oscore.c */
void oscore_context_free(struct oscore_context *context);

/* oscore_watch.c */
int oscore_watch(struct oscore *oscore);
void oscore_unwatch(struct oscore *oscore);
int oscore_index_keys(struct oscore *oscore);
/* libcoap asks for numbers below `number` to be used up. */
int oscore_save_sequence(uint64_t number, void *context);

/* oscore_observers.c: which recipient has begun an observation. */
struct oscore_endpoint {
        coap_proto_t proto;
        uint8_t address[16];
        uint16_t port;
};
struct oscore_endpoint oscore_endpoint_of(coap_proto_t proto, const coap_address_t *remote);

int oscore_observers_new(struct oscore_observers **ret_observers);
void oscore_observers_free(struct oscore_observers *observers);
void oscore_observers_add(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                          struct span token, const struct oscore_recipient *recipient);
const struct oscore_recipient *oscore_observers_find(struct oscore_observers *observers,
                                                     const struct oscore_endpoint *endpoint,
                                                     struct span token);
void oscore_observers_remove(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                             struct span token);
void oscore_observers_remove_all(struct oscore_observers *observers, const struct oscore_endpoint *endpoint);

#endif
