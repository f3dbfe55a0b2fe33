/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ClientHellos of DTLS, answered without keeping anything until their sender has shown that it is where it
 * says (RFC 6347, 4.2.1).
 *
 * libcoap sends the cookies too, but makes a session for each source before, with a key of its own; and takes
 * no new source while it has a hundred of those, each for 30 s. So hellos are looked at before libcoap gets
 * them: one without a good cookie is answered with one and goes no further. For the others libcoap's own
 * check is led to the same key: it calls gnutls_dtls_cookie_verify(), and the executable's function of that
 * name takes precedence.
 */
#ifndef COAPD_SECURITY_HELLO_H
#define COAPD_SECURITY_HELLO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

struct hello;

/* 0 or -ENOMEM. */
int hello_new(struct hello **ret_hello);
void hello_free(struct hello *hello);

enum hello_verdict {
        HELLO_OTHER,    /* no ClientHello: libcoap's */
        HELLO_GOOD,     /* a ClientHello with a good cookie: libcoap's, now */
        HELLO_ANSWERED, /* a ClientHello without: not to be passed on */
};

/*
 * A datagram to a DTLS endpoint with the descriptor `fd`, as recvmsg() gave it. `now` in seconds, on any
 * clock that goes forward.
 */
enum hello_verdict hello_check(struct hello *hello, int fd, const struct msghdr *message, size_t n,
                               int64_t now);

/* The 32 random bytes of a ClientHello that hello_check() has found good; empty when it is not well-formed.
 */
struct span hello_random(struct span datagram);

#endif
