/* SPDX-License-Identifier: BSD-2-Clause */
/* WebSockets over TLS; see websocket_tls.h. The pointer that GnuTLS keeps for its user, libcoap leaves alone.
 */
#include "endpoints/websocket_tls.h"

#include <assert.h>
#include <dlfcn.h>
#include <gnutls/gnutls.h>

#include "endpoints/websocket.h"

#define INTERPOSED __attribute__((used, visibility("default")))

/* Stands for a guard that there was no memory for. */
static const char no_memory;

static struct {
        ssize_t (*recv)(gnutls_session_t session, void *to, size_t n);
        void (*deinit)(gnutls_session_t session);
} real;

/* ISO C has no conversion from what dlsym() returns to a function. */
static void find_real(const char *name, void *to)
{
        void *found = dlsym(RTLD_NEXT, name);

        assert(found);
        __builtin_memcpy(to, &found, sizeof found);
}

void websocket_tls_guard(coap_session_t *session)
{
        coap_tls_library_t library;
        gnutls_session_t tls;
        void *guard;

        if (coap_session_get_proto(session) != COAP_PROTO_WSS)
                return;
        tls = coap_session_get_tls(session, &library);
        if (!tls || library != COAP_TLS_LIBRARY_GNUTLS || gnutls_session_get_ptr(tls))
                return;
        guard = websocket_new();
        gnutls_session_set_ptr(tls, guard ? guard : (void *)(uintptr_t)&no_memory);
}

static ssize_t read_record(void *below, void *to, size_t n)
{
        return real.recv(below, to, n);
}

INTERPOSED ssize_t gnutls_record_recv(gnutls_session_t session, void *to, size_t n)
{
        void *guard = gnutls_session_get_ptr(session);
        ssize_t r;

        if (!real.recv)
                find_real("gnutls_record_recv", &real.recv);
        if (!guard)
                return real.recv(session, to, n);
        r = guard == &no_memory ? WEBSOCKET_CUT : websocket_read(guard, read_record, session, to, n);
        return r == WEBSOCKET_CUT ? GNUTLS_E_PULL_ERROR : r;
}

INTERPOSED void gnutls_deinit(gnutls_session_t session)
{
        void *guard = session ? gnutls_session_get_ptr(session) : NULL;

        if (!real.deinit)
                find_real("gnutls_deinit", &real.deinit);
        real.deinit(session);
        if (guard != &no_memory)
                websocket_free(guard);
}
