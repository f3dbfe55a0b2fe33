/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor of CoAP over DTLS as GnuTLS does it: datagrams by the batch as with --batch, each record opened and its
 * answer sealed, with a pre-shared key and AES-128-CCM-8. No cookies, nothing sent again: for loopback alone. Peers are
 * told apart by their port.
 */
#include "echo.h"

#include <errno.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/util.h"

enum { MTU = 1400 };

static const char priorities[] =
        "NONE:+VERS-DTLS1.2:+PSK:+AES-128-CCM-8:+AEAD:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:"
        "%DISABLE_SAFE_RENEGOTIATION";

struct server {
        int fd;
        const char *key;
        gnutls_psk_server_credentials_t credentials;
        unsigned n_out;
        struct mmsghdr out[ECHO_BATCH];
        struct iovec pieces[ECHO_BATCH];
        uint8_t data[ECHO_BATCH][ECHO_SIZE];
        struct session *by_port[65536];
};

struct session {
        struct server *server;
        gnutls_session_t tls;
        struct sockaddr_in peer;
        bool established;
        const uint8_t *datagram; /* the one that is read; NULL: none */
        size_t n;
};

static void flush(struct server *self)
{
        if (self->n_out > 0 && sendmmsg(self->fd, self->out, self->n_out, 0) < 0)
                perror("echo: sendmmsg");
        self->n_out = 0;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *record, size_t n)
{
        struct session *session = pointer;
        struct server *self = session->server;
        unsigned i;

        if (self->n_out == ECHO_BATCH)
                flush(self);
        i = self->n_out++;
        n = MIN(n, (size_t)ECHO_SIZE);
        memcpy(self->data[i], record, n);
        self->pieces[i] = (struct iovec){ self->data[i], n };
        self->out[i].msg_hdr = (struct msghdr){ .msg_name = &session->peer,
                                                .msg_namelen = sizeof(session->peer),
                                                .msg_iov = &self->pieces[i],
                                                .msg_iovlen = 1 };
        return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *into, size_t size)
{
        struct session *session = pointer;
        size_t n = MIN(size, session->n);

        if (!session->datagram) {
                gnutls_transport_set_errno(session->tls, EAGAIN);
                return -1;
        }
        memcpy(into, session->datagram, n);
        session->datagram = NULL;
        return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t pointer, unsigned ms)
{
        const struct session *session = pointer;

        (void)ms;
        return session->datagram != NULL;
}

static int find_key(gnutls_session_t tls, const char *identity, gnutls_datum_t *ret_key)
{
        const struct session *session = gnutls_session_get_ptr(tls);
        size_t n = strlen(session->server->key);

        (void)identity;
        ret_key->data = gnutls_malloc(n);
        if (!ret_key->data)
                return -1;
        memcpy(ret_key->data, session->server->key, n);
        ret_key->size = (unsigned)n;
        return 0;
}

static struct session *session_new(struct server *self, const struct sockaddr_in *peer)
{
        struct session *session = calloc(1, sizeof *session);

        if (!session)
                return NULL;
        *session = (struct session){ .server = self, .peer = *peer };
        if (gnutls_init(&session->tls, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK) < 0 ||
            gnutls_priority_set_direct(session->tls, priorities, NULL) < 0 ||
            gnutls_credentials_set(session->tls, GNUTLS_CRD_PSK, self->credentials) < 0) {
                fprintf(stderr, "echo: no DTLS session\n");
                free(session);
                return NULL;
        }
        gnutls_dtls_set_mtu(session->tls, MTU);
        gnutls_session_set_ptr(session->tls, session);
        gnutls_transport_set_ptr(session->tls, session);
        gnutls_transport_set_push_function(session->tls, push);
        gnutls_transport_set_pull_function(session->tls, pull);
        gnutls_transport_set_pull_timeout_function(session->tls, pull_timeout);
        return session;
}

static void take(struct server *self, const struct sockaddr_in *peer, const uint8_t *datagram, size_t n)
{
        struct session **at = &self->by_port[peer->sin_port];
        struct session *session = *at ? *at : (*at = session_new(self, peer));
        uint8_t plain[ECHO_SIZE];
        ssize_t got;

        if (!session)
                return;
        session->datagram = datagram;
        session->n = n;
        if (!session->established) {
                session->established = gnutls_handshake(session->tls) == 0;
                return;
        }
        got = gnutls_record_recv(session->tls, plain, sizeof(plain));
        if (got > 0 && echo_answer(plain, (size_t)got))
                gnutls_record_send(session->tls, plain, (size_t)got);
}

static void serve(struct server *self)
{
        static struct echo_batch batch;
        int n = echo_receive(self->fd, &batch);

        for (int i = 0; i < n; i++)
                take(self, &batch.peers[i], batch.data[i], batch.headers[i].msg_len);
        flush(self);
}

void echo_dtls(int fd, const char *key)
{
        struct server *self = calloc(1, sizeof *self);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };

        if (!self || gnutls_psk_allocate_server_credentials(&self->credentials) < 0 || epoll < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
                perror("echo: DTLS");
                return;
        }
        self->fd = fd;
        self->key = key;
        gnutls_psk_set_server_credentials_function(self->credentials, find_key);
        while (epoll_wait(epoll, &event, 1, -1) >= 0 || errno == EINTR)
                serve(self);
}
