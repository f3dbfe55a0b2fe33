/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages over TLS that are longer than a record. GnuTLS takes a record's worth of them, and libcoap goes on with the
 * rest only when the kernel has been full and is not any more (4.3.4 and 4.3.5): it never comes to it.
 */
#include <gnutls/gnutls.h>

#include "base/find_real.h"
#include "endpoints/websocket_tls.h"

#define INTERPOSED __attribute__((used, visibility("default")))

/* Record by record. What waits in GnuTLS for the kernel it goes on with itself, when it is called with that again. */
INTERPOSED ssize_t gnutls_record_send(gnutls_session_t session, const void *bytes, size_t n)
{
        static ssize_t (*real)(gnutls_session_t session, const void *bytes, size_t n);
        size_t sent = 0;
        ssize_t r;

        if (!real)
                find_real("gnutls_record_send", &real);
        bytes = websocket_tls_written(session, bytes, n);
        do {
                r = real(session, (const char *)bytes + sent, n - sent);
                if (r > 0)
                        sent += (size_t)r;
        } while (r > 0 && sent < n);
        return sent > 0 && (r > 0 || r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) ? (ssize_t)sent : r;
}
