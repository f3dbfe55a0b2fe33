/* SPDX-License-Identifier: BSD-2-Clause */
/* The session with the target, its security, and what libcoap tells of it; see proxy_internal.h. */
#include <errno.h>

#include <gnutls/x509.h>

#include "base/log.h"
#include "resources/proxy_internal.h"

static bool is_secure(coap_proto_t proto)
{
        return proto == COAP_PROTO_DTLS || proto == COAP_PROTO_TLS;
}

/* libcoap has checked who signed it. */
static int check_name(const char *cn, const uint8_t *der, size_t n, coap_session_t *session, unsigned depth,
                      int validated, void *user)
{
        const struct upstream *upstream = user;
        const gnutls_datum_t datum = { (unsigned char *)der, (unsigned)n };
        gnutls_x509_crt_t certificate;
        int matches;

        (void)cn, (void)session, (void)validated;
        if (depth > 0)
                return 1;
        if (gnutls_x509_crt_init(&certificate) < 0)
                return 0;
        matches = gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_DER) == 0 &&
                  gnutls_x509_crt_check_hostname(certificate, upstream->host);
        gnutls_x509_crt_deinit(certificate);
        return matches;
}

static coap_session_t *open_secure(struct upstream *upstream, const coap_address_t *address)
{
        const struct proxy_conf *conf = upstream->conf;
        coap_dtls_pki_t pki = {
                .version = COAP_DTLS_PKI_SETUP_VERSION,
                .verify_peer_cert = 1,
                .check_common_ca = 1, /* else libcoap 4.3.5 does not read ca_file */
                .cert_chain_validation = 1,
                .cert_chain_verify_depth = 5,
                .check_cert_revocation = 1,
                .allow_no_crl = 1,
                .allow_expired_crl = 1,
                .validate_cn_call_back = check_name,
                .cn_call_back_arg = upstream,
                .client_sni = upstream->is_name ? upstream->host : NULL,
                .pki_key = { .key_type = COAP_PKI_KEY_PEM,
                             .key.pem = { .ca_file = conf->ca ? conf->ca : proxy_system_ca(),
                                          .public_cert = conf->certificate,
                                          .private_key = conf->private_key } },
        };
        coap_dtls_cpsk_t psk = {
                .version = COAP_DTLS_CPSK_SETUP_VERSION,
                .client_sni = upstream->is_name ? upstream->host : NULL,
        };

        if (!conf->identity)
                return coap_new_client_session_pki(upstream->context, NULL, address, upstream->proto, &pki);
        psk.psk_info.identity = (coap_bin_const_t){ strlen(conf->identity), (const uint8_t *)conf->identity };
        psk.psk_info.key = (coap_bin_const_t){ upstream->key.n, upstream->key.p };
        return coap_new_client_session_psk2(upstream->context, NULL, address, upstream->proto, &psk);
}

/* What had been sent is lost with the session; what waits for it goes over the next one, unless there was none. */
static void fail(struct upstream *upstream, const char *diagnostic)
{
        bool connected = false;

        for (const struct exchange *e = upstream->first; e; e = e->next)
                connected |= e->state == EXCHANGE_SENT || e->state == EXCHANGE_OBSERVED;
        for (struct exchange *e = upstream->first; e; e = e->next)
                if (e->state == EXCHANGE_SENT || e->state == EXCHANGE_OBSERVED ||
                    (e->state == EXCHANGE_QUEUED && !connected))
                        exchange_fail(e, CODE_BAD_GATEWAY, diagnostic);
}

static void open_at(struct upstream *upstream, const struct sockaddr *to, socklen_t size)
{
        coap_address_t address;

        coap_address_init(&address);
        address.size = size;
        memcpy(&address.addr, to, MIN((size_t)size, sizeof address.addr));
        coap_address_set_port(&address, upstream->port);
        if (upstream->conf->link && address.addr.sa.sa_family == AF_INET6)
                address.addr.sin6.sin6_scope_id = upstream->conf->link;
        upstream->session = is_secure(upstream->proto) ? open_secure(upstream, &address)
                                                       : coap_new_client_session(upstream->context, NULL,
                                                                                 &address, upstream->proto);
        if (!upstream->session) {
                fail(upstream, "the target cannot be reached");
                return;
        }
        coap_session_set_nstart(upstream->session, (uint16_t)upstream->conf->parallel);
        upstream_settle_soon(upstream);
}

static void on_found(void *user, struct addrinfo *list)
{
        struct upstream *upstream = user;

        resolver_free(TAKE(upstream->resolver));
        if (list)
                open_at(upstream, list->ai_addr, list->ai_addrlen);
        else
                fail(upstream, "the target's name is not known");
        if (list)
                freeaddrinfo(list);
}

void session_open(struct upstream *upstream)
{
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM }, *list = NULL;

        if (upstream->session || upstream->resolver)
                return;
        if (!upstream->is_name && getaddrinfo(upstream->host, NULL, &hints, &list) == 0) {
                open_at(upstream, list->ai_addr, list->ai_addrlen);
                freeaddrinfo(list);
        } else if (!upstream->is_name || resolver_start(upstream->event, upstream->host, on_found, upstream,
                                                        &upstream->resolver) < 0) {
                fail(upstream, "the target's name cannot be looked up");
        }
}

void session_close(struct upstream *upstream)
{
        coap_session_t *session = TAKE(upstream->session);

        if (session)
                coap_session_release(session);
}

void session_give_up(struct upstream *upstream, const char *diagnostic)
{
        session_close(upstream);
        fail(upstream, diagnostic);
}

/* --- what libcoap tells, in its callbacks --- */

int session_on_event(coap_session_t *session, coap_event_t event)
{
        struct upstream *upstream = coap_get_app_data(coap_session_get_context(session));

        if (session != upstream->session)
                return 0;
        switch (event) {
        case COAP_EVENT_TCP_FAILED:
        case COAP_EVENT_TCP_CLOSED:
        case COAP_EVENT_SESSION_FAILED:
        case COAP_EVENT_SESSION_CLOSED:
        case COAP_EVENT_DTLS_CLOSED:
                upstream->failure =
                        upstream->failure ? upstream->failure : "the target closed the connection";
                break;
        case COAP_EVENT_DTLS_ERROR:
                upstream->failure = "the target refused the secure session";
                break;
        default:
                break;
        }
        upstream_settle_soon(upstream);
        return 0;
}

void session_on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
                     const coap_mid_t mid)
{
        struct upstream *upstream = coap_get_app_data(coap_session_get_context(session));
        uint8_t code = reason == COAP_NACK_TOO_MANY_RETRIES ? CODE_GATEWAY_TIMEOUT : CODE_BAD_GATEWAY;
        const char *diagnostic = reason == COAP_NACK_TOO_MANY_RETRIES ? "the target does not answer"
                                 : reason == COAP_NACK_RST            ? "the target rejected the request"
                                 : reason == COAP_NACK_BAD_RESPONSE   ? "the target's answer is malformed"
                                                                      : "the target cannot be reached";
        coap_bin_const_t token = sent ? coap_pdu_get_token(sent) : (coap_bin_const_t){ 0, NULL };

        (void)mid;
        /* libcoap goes on sending it, and holds all others back meanwhile. */
        if (reason == COAP_NACK_ICMP_ISSUE) {
                upstream->failure = diagnostic;
                upstream_settle_soon(upstream);
                return;
        }
        for (struct exchange *e = upstream->first; e; e = e->next) {
                bool its = token.length == UPSTREAM_TOKEN &&
                           (memcmp(e->token, token.s, UPSTREAM_TOKEN) == 0 ||
                            memcmp(e->more_token, token.s, UPSTREAM_TOKEN) == 0);

                if ((its || !sent) && (e->state == EXCHANGE_SENT || e->fetches_rest))
                        exchange_fail(e, code, diagnostic);
        }
}
