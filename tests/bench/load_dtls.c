/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links over DTLS 1.2 with a pre-shared key and AES-128-CCM-8, which RFC 7252 makes mandatory. GnuTLS makes
 * and reads the records; the datagrams go through the same batches as those of plain UDP.
 */
#include "load_udp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "base/util.h"

enum { MTU = 1400, HANDSHAKE_MS = 5000 };

static const char priorities[] =
        "NONE:+VERS-DTLS1.2:+PSK:+AES-128-CCM-8:+AEAD:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:"
        "%DISABLE_SAFE_RENEGOTIATION";

struct dtls {
        struct source source; /* first */
        struct dtls_links *links;
        uint32_t link;
        gnutls_session_t session;
        const uint8_t *datagram; /* the one being read; NULL: none is there */
        size_t n_datagram;
};

struct dtls_links {
        struct links links; /* first */
        gnutls_psk_client_credentials_t credentials;
        struct outbox out;
        struct mmsghdr headers[BATCH];
        struct iovec pieces[BATCH];
        uint8_t data[BATCH][DATAGRAM_MAX];
        struct dtls sessions[];
};

/* --- between GnuTLS and the batches --- */

static ssize_t push(gnutls_transport_ptr_t pointer, const void *data, size_t n)
{
        struct dtls *self = pointer;

        outbox_put(&self->links->out, self->source.fd, 0, data, n);
        return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *data, size_t size)
{
        struct dtls *self = pointer;
        size_t n = MIN(size, self->n_datagram);

        if (!self->datagram) {
                gnutls_transport_set_errno(self->session, EAGAIN);
                return -1;
        }
        memcpy(data, self->datagram, n);
        self->datagram = NULL;
        return (ssize_t)n;
}

static void dtls_send(struct links *links, uint32_t link, const uint8_t *datagram, size_t n)
{
        struct dtls_links *self = (struct dtls_links *)links;

        if (gnutls_record_send(self->sessions[link].session, datagram, n) < 0)
                links->send_errors++;
}

static void dtls_flush(struct links *links)
{
        struct dtls_links *self = (struct dtls_links *)links;

        outbox_flush(&self->out);
}

static void take_record(struct dtls *session, const uint8_t *datagram, size_t n)
{
        struct links *links = &session->links->links;
        uint8_t plain[DATAGRAM_MAX];
        struct message message;

        session->datagram = datagram;
        session->n_datagram = n;
        ssize_t got = gnutls_record_recv(session->session, plain, sizeof(plain));

        if (got > 0 && message_read(plain, (size_t)got, &message) == 0)
                links->receive(links->user, session->link, &message);
        else
                links->bad_messages++;
}

static void dtls_ready(struct source *source)
{
        struct dtls *session = (struct dtls *)source;
        struct dtls_links *self = session->links;

        for (unsigned i = 0; i < BATCH; i++) {
                self->pieces[i] = (struct iovec){ self->data[i], DATAGRAM_MAX };
                self->headers[i].msg_hdr = (struct msghdr){ .msg_iov = &self->pieces[i], .msg_iovlen = 1 };
        }
        int n = recvmmsg(source->fd, self->headers, BATCH, MSG_DONTWAIT, NULL);

        for (int i = 0; i < n; i++)
                take_record(session, self->data[i], self->headers[i].msg_len);
}

/* --- sessions --- */

static int gnutls_failed(const char *what, int code)
{
        fprintf(stderr, "load: %s: %s\n", what, gnutls_strerror(code));
        return -EPROTO;
}

static int handshake(struct dtls *self)
{
        int r;

        do {
                struct pollfd wait = { .fd = self->source.fd, .events = POLLIN };

                r = gnutls_handshake(self->session);
                if (r == GNUTLS_E_AGAIN)
                        poll(&wait, 1, 100);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        return r < 0 ? gnutls_failed("DTLS handshake", r) : 0;
}

static int open_session(struct dtls *self, const struct links_setup *setup)
{
        int r = udp_connect(setup, self->link, true, &self->source.fd);

        if (r < 0)
                return r;
        r = gnutls_init(&self->session, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK);
        if (r == 0)
                r = gnutls_priority_set_direct(self->session, priorities, NULL);
        if (r == 0)
                r = gnutls_credentials_set(self->session, GNUTLS_CRD_PSK, self->links->credentials);
        if (r < 0)
                return gnutls_failed("DTLS", r);
        gnutls_dtls_set_mtu(self->session, MTU);
        gnutls_handshake_set_timeout(self->session, HANDSHAKE_MS);
        gnutls_transport_set_int(self->session, self->source.fd);
        r = handshake(self);
        if (r < 0)
                return r;
        gnutls_transport_set_ptr(self->session, self);
        gnutls_transport_set_push_function(self->session, push);
        gnutls_transport_set_pull_function(self->session, pull);
        self->source.ready = dtls_ready;
        return loop_add(setup->loop, &self->source, setup->urgent);
}

static int set_key(struct dtls_links *self, const char *psk)
{
        const char *colon = psk ? strchr(psk, ':') : NULL;
        CLEANUP(freep) char *identity = colon ? strndup(psk, (size_t)(colon - psk)) : NULL;

        if (!identity) {
                fprintf(stderr, "load: coaps needs --psk IDENTITY:KEY\n");
                return -EINVAL;
        }
        gnutls_datum_t key = { (unsigned char *)(uintptr_t)(colon + 1), (unsigned)strlen(colon + 1) };
        int r = gnutls_psk_allocate_client_credentials(&self->credentials);

        if (r == 0)
                r = gnutls_psk_set_client_credentials(self->credentials, identity, &key, GNUTLS_PSK_KEY_RAW);
        /* A key set as raw is taken as it is. */
        return r < 0 ? gnutls_failed("pre-shared key", r) : 0;
}

static uint64_t dtls_drops(struct links *links)
{
        struct dtls_links *self = (struct dtls_links *)links;
        uint64_t sum = 0;

        for (uint32_t i = 0; i < links->n; i++)
                sum += udp_drops(self->sessions[i].source.fd);
        return sum;
}

static void dtls_close(struct links *links)
{
        struct dtls_links *self = (struct dtls_links *)links;

        for (uint32_t i = 0; i < links->n; i++) {
                if (self->sessions[i].session)
                        gnutls_deinit(self->sessions[i].session);
                if (self->sessions[i].source.fd >= 0)
                        close(self->sessions[i].source.fd);
        }
        if (self->credentials)
                gnutls_psk_free_client_credentials(self->credentials);
        free(self);
}

int dtls_open(const struct links_setup *setup, struct links **ret)
{
        static const struct links_ops ops = { dtls_send, dtls_flush, dtls_drops, dtls_close };
        struct dtls_links *self = calloc(1, sizeof(*self) + setup->n * sizeof(self->sessions[0]));
        int r;

        if (!self)
                return -ENOMEM;
        self->links = (struct links){ .ops = &ops, .loop = setup->loop, .n = setup->n };
        for (uint32_t i = 0; i < setup->n; i++) {
                self->sessions[i].source.fd = -1;
                self->sessions[i].links = self;
                self->sessions[i].link = i;
        }
        r = raise_file_limit(setup->n);
        if (r == 0)
                r = set_key(self, setup->psk);
        for (uint32_t i = 0; r == 0 && i < setup->n; i++)
                r = open_session(&self->sessions[i], setup);
        if (r < 0) {
                dtls_close(&self->links);
                return r;
        }
        *ret = &self->links;
        return 0;
}
