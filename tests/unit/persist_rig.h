/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests of persist engines stand on: a real libcoap context with a real UDP endpoint on loopback, two
 * observable resources, an engine on files in a folder of its own, clients that are sockets and stay while the
 * server comes and goes, and what the engine logged.
 */
#ifndef TESTS_PERSIST_RIG_H
#define TESTS_PERSIST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "persist/persist.h"

enum { RIG_STORED = 64 };

struct rig_stored {
        char path[256];
        int content_format;
        uint8_t etag[8];
        size_t etag_n;
        char attributes[128];
        uint8_t *body;
        size_t body_n;
        int64_t created_us, changed_us;
};

struct rig {
        char folder[64];
        char files[3][96]; /* dynamic resources, observers, counters */
        uint16_t port;
        int mark;
        struct conf_persist conf;
        struct metrics metrics;
        /* Of the present run: */
        coap_context_t *context;
        sd_event *event;
        struct persist_host host;
        const struct persist_engine *engine;
        void *self;
        struct rig_stored stored[RIG_STORED];
        size_t n_stored;
        int restore_answer; /* of restore_resource */
        bool knows_oscore;
        size_t observers_restored;
        size_t handled; /* requests and notifications that reached the handler */
        char log[65536];
};

/* A folder, a port, a config; nothing runs yet. */
void rig_init(struct rig *rig);
/* And away. */
void rig_deinit(struct rig *rig);

/*
 * For cmocka: *state is a struct of `size` bytes, zeroed, that begins with an initialised rig; is just that; or goes
 * with it. 0.
 */
int rig_set_up_in(void **state, size_t size);
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* The server without its engine: context, resources, an endpoint on `listen` ("127.0.0.1", "::"). */
void rig_context(struct rig *rig, const char *listen);
coap_resource_t *rig_add_resource(struct rig *rig, const char *path);
coap_resource_t *rig_resource(struct rig *rig, const char *path);
/* The engine, opened and started, its log kept. Returns what open() or start() returned. */
int rig_engine(struct rig *rig, const char *name);
/* All of it at once; the engine must start. */
void rig_start(struct rig *rig, const char *name, const char *listen);
/* An orderly end. */
void rig_stop(struct rig *rig);

/*
 * Runs `scenario` in a child that then dies with nothing stopped or closed, as if killed. Its sockets are
 * the parent's, so clients stay.
 */
void rig_killed(struct rig *rig, void (*scenario)(struct rig *rig, void *user), void *user);

bool rig_logged(const struct rig *rig, const char *text);

/* A file's name with a suffix, in a static buffer; and how many of the folder's names contain `part`. */
const char *rig_file(const struct rig *rig, size_t i, const char *suffix);
size_t rig_count_files(const struct rig *rig, const char *part);

/* --- clients --- */

/* A socket towards the server; `host` as with rig_context(). */
int rig_client(const struct rig *rig, const char *host);

/* A handler of a resource whose userdata is the rig: counts in `handled`, and answers 2.05. */
void rig_answer(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                const coap_string_t *query, coap_pdu_t *response);
/* Registers; returns the Observe number of the answer, or -1 when there is none. */
int rig_observe(struct rig *rig, int client, const char *path, const char *token);
/* The same with options of one's own, as bytes behind the token. */
int rig_send(struct rig *rig, int client, uint8_t code, const char *token, const uint8_t *options, size_t n);
int rig_cancel(struct rig *rig, int client, const char *path, const char *token);
/* The next message with this token; the Observe number, -1: none came, -2: one without the option. */
int rig_next(struct rig *rig, int client, const char *token);
void rig_notify(struct rig *rig, const char *path);
/* Lets the server work off what there is. */
void rig_pump(struct rig *rig);

bool rig_newer(int old, int new);

/* --- the store, from outside --- */

/* The one number that `sql` gives on a store's file, read as another process would. */
int64_t rig_sql(const struct rig *rig, size_t file, const char *sql);

#endif
