/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration as plain typed structs: the contract between the file /etc/coapd.conf and the modules.
 *
 * Each struct belongs to one group of the file and each member to one key, described by a row in schema.c.
 * Everything is owned by the struct config and lives until config_free(); modules borrow. A list's structs
 * begin with the place where they stand, so that a module can name it in an error.
 *
 * Manual: coapd.conf(5).
 */
#ifndef COAPD_CONFIG_CONFIG_H
#define COAPD_CONFIG_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "config/schema.h"

struct conf_server {
        int log_level; /* LOG_ERR ... LOG_DEBUG of syslog(3) minus LOG_ERR: an index into the choices */
        long long session_timeout; /* seconds an idle session of a client is kept */
        long long max_sessions;
        long long shards;         /* libcoap contexts: base/shards.h; 0: by need */
        long long observer_check; /* seconds between two confirmable notifications to an observer, at most */
        long long confirm_interval; /* and at least, but where all are */
        bool q_block;               /* RFC 9177, over plain UDP */
        bool core_dumps;            /* also of a process that has keys in its memory */
        long long receive_buffer;   /* SO_RCVBUF of a datagram endpoint, bytes; 0: the kernel's default */
        long long send_buffer;
        char *control; /* the control socket; NULL: none */
};

/* RFC 7252, 6; RFC 8323, 8. */
enum transport { TRANSPORT_UDP, TRANSPORT_DTLS, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_WS, TRANSPORT_WSS };

struct conf_endpoint {
        struct conf_origin at;
        char *uri;
        struct conf_strings multicast; /* "GROUP" or "GROUP%INTERFACE" */
        /* Taken from the uri by config_load(): */
        enum transport transport;
        char *host; /* without brackets; a literal address or a name */
        uint16_t port;
};

struct conf_resource {
        struct conf_origin at;
        char *path; /* "sensors/1": no slash at either end, not percent-encoded */
        char *kind;
        struct conf_strings
                host; /* "HOST" or "HOST:PORT"; none: for requests that name no host of the config */
        char *title;
        struct conf_strings resource_types; /* key `rt` */
        struct conf_strings interfaces;     /* key `if` */
        bool observable;
        bool confirmable;          /* every notification, not just one in a few */
        long long notify_interval; /* seconds after which observers are told again; 0: upon a change only */
        bool hidden;               /* not listed in /.well-known/core */
        long long max_age;         /* seconds, -1: not sent, so that the default of RFC 7252, 5.10.5 holds */
        void *fields;              /* the kind's own struct, by its conf_variant */
};

enum conf_unproven { CONF_UNPROVEN_BLOCKS, CONF_UNPROVEN_ECHO, CONF_UNPROVEN_SERVE };

struct conf_limits {
        long long sessions_per_address; /* 0: any number */
        long long handshakes;           /* of DTLS and TLS, on their way */
        long long observations;         /* of all clients together */
        long long observations_per_resource;
        long long observations_per_session;
        long long token_length;
        int unproven;                  /* enum conf_unproven */
        long long unproven_response;   /* bytes */
        long long message_size;        /* over streams */
        long long transfers;           /* request bodies on their way in, block by block */
        long long transfer_bytes;      /* of all of them together */
        long long requests_per_second; /* from one address; 0: no limit */
        long long waiting;             /* requests whose answer takes long */
};

struct conf_dynamic {
        bool enable;
        struct conf_strings prefix;      /* paths under which clients may create; "" allows any */
        struct conf_strings confirmable; /* and under which every notification is */
        long long max_resources;
        long long max_size;       /* bytes of one body */
        long long max_total_size; /* bytes of all bodies */
};

enum conf_sync { CONF_SYNC_INTERVAL, CONF_SYNC_ALWAYS };
enum conf_bad_file { CONF_BAD_FILE_START_EMPTY, CONF_BAD_FILE_REFUSE };

struct conf_persist {
        char *engine;
        char *dynamic_resources; /* each path may be NULL: that state is not kept */
        char *observers;
        char *observe_counters;
        long long save_frequency;
        int sync;                   /* enum conf_sync */
        long long sync_interval;    /* milliseconds */
        int bad_file;               /* enum conf_bad_file */
        long long observer_max_age; /* seconds a row that fits nothing is kept for a later start */
};

struct conf_psk_identity {
        struct conf_origin at;
        char *identity;
        char *key;      /* as text; secret */
        char *key_hex;  /* as hex digits; secret */
        char *key_file; /* raw bytes, one trailing newline is not part of the key */
};

struct conf_psk {
        char *hint;
        struct conf_list identities; /* struct conf_psk_identity */
};

struct conf_pki {
        char *certificate;
        char *private_key;
        char *ca;
        char *crl;
        bool require_client_certificate;
};

struct conf_rpk {
        char *private_key;
};

/* Keys of their own for clients that ask for a name (RFC 6066, 3). */
struct conf_sni {
        struct conf_origin at;
        struct conf_strings names;
        struct conf_psk psk;
        struct conf_pki pki;
};

struct conf_oscore {
        struct conf_origin at;
        char *sender_id;                   /* hex digits */
        struct conf_strings recipient_ids; /* hex digits */
        char *id_context;                  /* hex digits */
        char *master_secret;               /* hex digits; secret */
        char *master_secret_file;          /* hex digits in a file */
        char *master_salt;                 /* hex digits */
};

struct conf_security {
        struct conf_psk psk;
        struct conf_pki pki;
        struct conf_rpk rpk;
        struct conf_list sni;             /* struct conf_sni */
        struct conf_list oscore;          /* struct conf_oscore */
        struct conf_strings oscore_files; /* of libcoap's, coap-oscore-conf(5) */
        struct conf_strings websocket_origins;
};

struct conf_access_rule {
        struct conf_origin at;
        char *path; /* glob: `*` within a segment, `**` over segments */
        struct conf_strings methods;
        struct conf_strings allow;
};

struct config {
        char *file;
        struct conf_server server;
        struct conf_list endpoints; /* struct conf_endpoint */
        struct conf_list resources; /* struct conf_resource */
        struct conf_limits limits;
        struct conf_dynamic dynamic;
        struct conf_persist persist;
        struct conf_security security;
        struct conf_list access; /* struct conf_access_rule */
        void *memory;            /* the loader's own */
};

/* What main() hands over so that config needs to know no other module; the tables outlive every config. */
struct conf_vocabulary {
        const struct conf_variant *kinds; /* of `resources` */
        size_t n_kinds;
        const char *const *engines; /* of `persist.engine`, NULL-terminated; the first is the default */
        /* The forms of the strings in `access`, as conf_row.check; NULL: any. */
        const char *(*check_access_path)(const char *value);
        const char *(*check_access_method)(const char *value);
        const char *(*check_access_subject)(const char *value);
};

/*
 * Reads FILE and everything that it includes. Every error is written to `errors` in one run, a line each:
 * "FILE:LINE: KEY: what is wrong, what is expected".
 *
 * Returns 0 and a config that the caller frees; -EINVAL when at least one error was written; or another
 * -errno, written as well, when the file cannot be read.
 */
int config_load(const char *file, const struct conf_vocabulary *vocabulary, FILE *errors,
                struct config **ret_config);

/* Wipes the secrets. Accepts NULL. */
void config_free(struct config *config);

/*
 * Where the value of a member stands, or where its group begins when the file does not give it; `file` lives
 * as long as the config. For errors that only a module can find: config_origin(c, &c->persist.observers).
 */
struct conf_origin config_origin(const struct config *config, const void *member);

/* Whether a client can be "psk:NAME". */
bool config_has_identity(const struct config *config, const char *name);

/*
 * Reports each file of the config itself, and each file and folder that it names, which is there but cannot be used
 * with the rights that the process has by now, `who` being whose these are. Credentials are not looked at. Returns how
 * many there are.
 */
size_t config_find_unreadable(const struct config *config, const char *who, FILE *errors);

/* Warns in the log, once for each file, of keys that stand in a file of the config which every user may read. */
void config_warn_of_open_secrets(const struct config *config);

/*
 * Names the keys that differ between two configurations, a line each, "server.log_level"; those that a
 * reload cannot apply end in " (needs a restart)". Secrets are named, never shown. Returns the number of
 * keys that need a restart.
 */
size_t config_diff(const struct config *old, const struct config *new, FILE *out);

/* Texts generated from the rows: conf/coapd.conf, and the options of coapd.conf(5) in mdoc. */
void config_write_sample(const struct conf_vocabulary *vocabulary, FILE *out);
void config_write_manual(const struct conf_vocabulary *vocabulary, FILE *out);

#endif
