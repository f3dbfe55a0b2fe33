/* SPDX-License-Identifier: BSD-2-Clause */
/* WebSockets over TLS; see websocket_tls.h. The pointer that GnuTLS keeps for its user, libcoap leaves alone. */
#include "endpoints/websocket_tls.h"

#include <gnutls/gnutls.h>
#include <stdlib.h>

#include "base/find_real.h"
#include "endpoints/sockets.h"
#include "endpoints/websocket.h"

#define INTERPOSED __attribute__((used, visibility("default")))

/* What GnuTLS keeps for us with a session. */
struct guard {
        struct websocket *websocket;
        int fd; /* of the connection, -1: not known yet */
};

/* Stands for a guard that there was no memory for. */
static const char no_memory;

static struct {
        ssize_t (*recv)(gnutls_session_t session, void *to, size_t n);
        void (*deinit)(gnutls_session_t session);
} real;

static struct guard *guard_new(struct websocket_origins *origins)
{
        struct guard *guard = malloc(sizeof *guard);

        if (!guard)
                return NULL;
        *guard = (struct guard){ .websocket = websocket_new(true, origins), .fd = -1 };
        if (guard->websocket)
                return guard;
        free(guard);
        return NULL;
}

void websocket_tls_guard(coap_session_t *session, struct websocket_origins *origins)
{
        coap_tls_library_t library;
        gnutls_session_t tls;
        struct guard *guard;

        if (coap_session_get_proto(session) != COAP_PROTO_WSS)
                return;
        tls = coap_session_get_tls(session, &library);
        if (!tls || library != COAP_TLS_LIBRARY_GNUTLS || gnutls_session_get_ptr(tls))
                return;
        guard = guard_new(origins);
        gnutls_session_set_ptr(tls, guard ? (void *)guard : (void *)(uintptr_t)&no_memory);
}

/* NULL: it has none, for it needs none or there was no memory. */
static struct guard *guard_of(gnutls_session_t session)
{
        void *kept = gnutls_session_get_ptr(session);

        return kept == &no_memory ? NULL : kept;
}

struct below {
        gnutls_session_t session;
        struct guard *guard;
};

/* libcoap tells nobody which descriptor a session has; but to read from it, it calls recv(). */
static ssize_t read_record(void *userdata, void *to, size_t n)
{
        struct below *below = userdata;
        ssize_t r;

        sockets_watch_recv();
        r = real.recv(below->session, to, n);
        if (sockets_last_recv() >= 0)
                below->guard->fd = sockets_last_recv();
        return r == GNUTLS_E_AGAIN ? WEBSOCKET_AGAIN : r;
}

/* As that of sockets_calls.c. */
static void send_pong(gnutls_session_t session, const struct guard *guard)
{
        struct span pong = websocket_pong(guard->websocket);

        if (pong.n == 0 || sockets_is_behind(guard->fd))
                return;
        if (gnutls_record_send(session, pong.p, pong.n) > 0)
                websocket_pong_is_sent(guard->websocket);
}

INTERPOSED ssize_t gnutls_record_recv(gnutls_session_t session, void *to, size_t n)
{
        struct below below = { .session = session, .guard = guard_of(session) };
        ssize_t r;

        if (!real.recv)
                find_real("gnutls_record_recv", &real.recv);
        if (!below.guard)
                return gnutls_session_get_ptr(session) ? GNUTLS_E_PULL_ERROR : real.recv(session, to, n);
        r = websocket_read(below.guard->websocket, read_record, &below, to, n);
        send_pong(session, below.guard);
        /* Of a record with several frames the kernel has nothing any more. */
        if ((r > 0 || r == WEBSOCKET_AGAIN) &&
            websocket_has_more(below.guard->websocket, gnutls_record_check_pending(session)))
                sockets_tell_more(below.guard->fd);
        return r == WEBSOCKET_AGAIN ? GNUTLS_E_AGAIN : r;
}

const void *websocket_tls_written(gnutls_session_t session, const void *bytes, size_t n)
{
        const struct guard *guard = guard_of(session);

        return guard ? websocket_written(guard->websocket, span_of(bytes, n)).p : bytes;
}

INTERPOSED void gnutls_deinit(gnutls_session_t session)
{
        struct guard *guard = session ? guard_of(session) : NULL;

        if (!real.deinit)
                find_real("gnutls_deinit", &real.deinit);
        real.deinit(session);
        if (guard)
                websocket_free(guard->websocket);
        free(guard);
}
