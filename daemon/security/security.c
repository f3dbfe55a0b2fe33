/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The module's front: one generation of keys, and what it is attached to.
 */
#include "security/security.h"

#include <errno.h>
#include <netinet/in.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "security/hello.h"
#include "security/keys.h"
#include "security/oscore.h"
#include "security/tls.h"

struct security {
        uint16_t *dtls_ports;
        size_t n_dtls_ports;
        struct hello *hello;
        struct keys *keys;
        struct tls *tls; /* NULL: not attached */
        size_t most_handshakes;
        struct oscore *oscore;
};

static void security_freep(struct security **security)
{
        security_free(*security);
}

static int note_dtls_ports(struct security *security, const struct config *config)
{
        const struct conf_endpoint *endpoints = config->endpoints.v;

        security->dtls_ports = calloc(config->endpoints.n + 1, sizeof(*security->dtls_ports));
        if (!security->dtls_ports)
                return -ENOMEM;
        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (endpoints[i].transport == TRANSPORT_DTLS)
                        security->dtls_ports[security->n_dtls_ports++] = endpoints[i].port;
        }
        return 0;
}

int security_load(const struct config *config, FILE *errors, struct security **ret_security)
{
        CLEANUP(security_freep) struct security *security = calloc(1, sizeof(*security));
        struct key_errors report = { .config = config, .out = errors };
        int r, r_oscore;

        if (!security)
                return -ENOMEM;
        if (note_dtls_ports(security, config) < 0 || hello_new(&security->hello) < 0)
                return -ENOMEM;
        security->most_handshakes = (size_t)config->limits.handshakes;
        r = keys_load(config, tls_give_key, tls_verify, &report, &security->keys);
        if (r == -ENOMEM)
                return r;
        r_oscore = oscore_load(config, &report, &security->oscore);
        if (r < 0 || r_oscore < 0)
                return r < 0 ? r : r_oscore;
        keys_warn_of_end(security->keys, time(NULL));
        *ret_security = TAKE(security);
        return 0;
}

int security_attach(struct security *security, struct shards shards)
{
        return tls_attach(security->keys, shards.v, shards_for_streams(shards.n), &security->tls);
}

int security_open_oscore(struct security *security, struct shards shards, const struct security_store *store)
{
        return oscore_open(security->oscore, shards, store);
}

bool security_has_opened(struct security *security)
{
        return oscore_has_opened(security->oscore);
}

size_t security_oscore_home(const struct security *security, struct span option)
{
        return oscore_home(security->oscore, option);
}

size_t security_streams(const struct security *security)
{
        return oscore_streams(security->oscore);
}

size_t security_replace(struct security *security, struct security *fresh)
{
        size_t closed = tls_replace(security->tls, fresh->keys);

        keys_unref(security->keys);
        security->keys = TAKE(fresh->keys);
        oscore_replace(security->oscore, fresh->oscore);
        free(security->dtls_ports);
        security->dtls_ports = TAKE(fresh->dtls_ports);
        security->n_dtls_ports = fresh->n_dtls_ports;
        security->most_handshakes = fresh->most_handshakes;
        security_free(fresh);
        return closed;
}

bool security_has_tls(const struct security *security)
{
        return keys_exist(security->keys);
}

size_t security_count_oscore(const struct security *security)
{
        return oscore_count(security->oscore);
}

enum { RECORD_HANDSHAKE = 22 };

static bool is_dtls_port(const struct security *security, uint16_t port)
{
        for (size_t i = 0; i < security->n_dtls_ports; i++) {
                if (security->dtls_ports[i] == port)
                        return true;
        }
        return false;
}

/* In host order; 0 when it cannot be told. libcoap's addresses are not aligned for what they are cast to. */
static uint16_t port_of(const void *address)
{
        struct sockaddr_in6 six;
        struct sockaddr_in four;
        sa_family_t family;

        memcpy(&family, (const uint8_t *)address + offsetof(struct sockaddr, sa_family), sizeof(family));
        if (family == AF_INET) {
                memcpy(&four, address, sizeof(four));
                return ntohs(four.sin_port);
        }
        if (family == AF_INET6) {
                memcpy(&six, address, sizeof(six));
                return ntohs(six.sin6_port);
        }
        return 0;
}

static struct peer_address sender_of(const struct msghdr *message, uint16_t local_port)
{
        struct identity remote = { .kind = IDENTITY_NONE };

        identity_set_address(&remote, message->msg_name);
        return peer_address_of(&remote, port_of(message->msg_name), local_port);
}

static uint16_t local_port_of(int fd)
{
        struct sockaddr_storage local = { 0 };

        return getsockname(fd, (struct sockaddr *)&local, &(socklen_t){ sizeof(local) }) < 0
                       ? 0
                       : port_of(&local);
}

static void pass_on(struct security *security, const struct msghdr *message, size_t n, uint16_t local_port)
{
        struct span datagram = span_of(message->msg_iov[0].iov_base, n);
        struct peer_address at = sender_of(message, local_port);

        tls_hello_is_good(security->tls, &at, hello_random(datagram));
}

size_t security_session_home(const struct security *security, int fd, const struct msghdr *message)
{
        size_t streams = oscore_streams(security->oscore);
        struct peer_address at = sender_of(message, local_port_of(fd));
        size_t home = security->tls ? tls_home(security->tls, &at) : SIZE_MAX;

        return home <= streams ? home : streams;
}

bool security_admit(struct security *security, int fd, const struct msghdr *message, size_t n)
{
        struct timespec now = { 0 };
        uint16_t local_port;

        oscore_next_message(security->oscore);
        /* Most are plain CoAP, or records of a session that stands already (RFC 6347, 4.1). */
        if (n == 0 || *(const uint8_t *)message->msg_iov[0].iov_base != RECORD_HANDSHAKE)
                return true;
        local_port = security->tls ? local_port_of(fd) : 0;
        if (!is_dtls_port(security, local_port))
                return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        switch (hello_check(security->hello, fd, message, n, now.tv_sec)) {
        case HELLO_ANSWERED:
                return false;
        case HELLO_GOOD:
                pass_on(security, message, n, local_port);
                return true;
        default:
                return true;
        }
}

size_t security_tidy(struct security *security)
{
        return security->tls ? tls_tidy(security->tls, security->most_handshakes) : 0;
}

void security_next_message(struct security *security)
{
        oscore_next_message(security->oscore);
}

void security_turn_is_over(struct security *security)
{
        oscore_next_message(security->oscore);
        oscore_answers(security->oscore, true);
}

void security_answers(struct security *security, bool protected)
{
        oscore_answers(security->oscore, protected);
}

uint64_t security_protected_by(const struct security *security)
{
        return oscore_protected_by(security->oscore);
}

void security_begin(struct security *security, const coap_session_t *session, const coap_pdu_t *request,
                    bool is_notification)
{
        oscore_begin(security->oscore, session, request, is_notification);
}

void security_end(struct security *security)
{
        oscore_end(security->oscore);
}

/* OSCORE within DTLS: the inner of the two is the peer, the outer one may be a proxy. */
void security_identify(struct security *security, const coap_session_t *session, struct identity *ret_who)
{
        const coap_address_t *remote = coap_session_get_addr_remote(session);
        struct identity who = { .kind = IDENTITY_NONE };

        if (remote)
                identity_set_address(&who, &remote->addr.sa);
        if (!oscore_identify(security->oscore, session, &who))
                tls_identify(session, &who);
        *ret_who = who;
}

bool security_restore_observer(struct security *security, const coap_address_t *remote, struct span request,
                               struct span recipient_id, struct span id_context)
{
        return oscore_restore_observer(security->oscore, remote, request, recipient_id, id_context);
}

size_t security_observer_home(const struct security *security, struct span recipient_id,
                              struct span id_context)
{
        return oscore_home_of(security->oscore, recipient_id, id_context);
}

bool security_is_revoked(const struct security *security, const coap_session_t *session)
{
        return oscore_is_revoked(security->oscore, session);
}

void security_session_gone(struct security *security, const coap_session_t *session)
{
        oscore_session_gone(security->oscore, session);
}

void security_free(struct security *security)
{
        if (!security)
                return;
        tls_detach(security->tls);
        keys_unref(security->keys);
        oscore_free(security->oscore);
        hello_free(security->hello);
        free(security->dtls_ports);
        free(security);
}
