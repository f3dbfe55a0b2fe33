/* SPDX-License-Identifier: BSD-2-Clause */
/* The session with the target; see proxy_upstream.h. */
#include <errno.h>
#include <sys/epoll.h>

#include <gnutls/x509.h>

#include "base/log.h"
#include "resources/proxy_internal.h"

enum { US_PER_S = 1000000 };

uint64_t upstream_now(const struct upstream *upstream)
{
        uint64_t now = 0;

        sd_event_now(upstream->event, CLOCK_MONOTONIC, &now);
        return now;
}

void upstream_settle_soon(struct upstream *upstream)
{
        sd_event_source_set_enabled(upstream->settle, SD_EVENT_ONESHOT);
}

struct span upstream_base(const struct upstream *upstream)
{
        return buf_span(&upstream->base);
}

const char *upstream_host(const struct upstream *upstream)
{
        return upstream->is_name ? upstream->host : NULL;
}

/* --- the session --- */

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
                .check_common_ca = conf->certificate != NULL,
                .cert_chain_validation = 1,
                .cert_chain_verify_depth = 5,
                .check_cert_revocation = 1,
                .allow_no_crl = 1,
                .allow_expired_crl = 1,
                .validate_cn_call_back = check_name,
                .cn_call_back_arg = upstream,
                .client_sni = upstream->is_name ? upstream->host : NULL,
                .pki_key = { .key_type = COAP_PKI_KEY_PEM,
                             .key.pem = { .ca_file = conf->ca,
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

static void fail_all(struct upstream *upstream, uint8_t code, const char *diagnostic)
{
        for (struct exchange *exchange = upstream->first; exchange; exchange = exchange->next)
                if (exchange->state != EXCHANGE_OVER)
                        exchange_fail(exchange, code, diagnostic);
}

static void open_at(struct upstream *upstream, const struct sockaddr *to, socklen_t size)
{
        coap_address_t address;

        coap_address_init(&address);
        address.size = size;
        memcpy(&address.addr, to, MIN((size_t)size, sizeof address.addr));
        coap_address_set_port(&address, upstream->port);
        upstream->session = is_secure(upstream->proto) ? open_secure(upstream, &address)
                                                       : coap_new_client_session(upstream->context, NULL,
                                                                                 &address, upstream->proto);
        if (!upstream->session) {
                fail_all(upstream, CODE_BAD_GATEWAY, "the target can not be reached");
                return;
        }
        coap_session_set_nstart(upstream->session, (uint16_t)upstream->conf->parallel);
        upstream_settle_soon(upstream);
}

/* What had been sent is lost with the session; what waits for it goes over the next one. */
static void fail_sent(struct upstream *upstream, const char *diagnostic)
{
        bool connected = false;

        for (const struct exchange *e = upstream->first; e; e = e->next)
                connected |= e->state == EXCHANGE_SENT || e->state == EXCHANGE_OBSERVED;
        for (struct exchange *e = upstream->first; e; e = e->next)
                if (e->state == EXCHANGE_SENT || e->state == EXCHANGE_OBSERVED ||
                    (e->state == EXCHANGE_QUEUED && !connected))
                        exchange_fail(e, CODE_BAD_GATEWAY, diagnostic);
}

static void on_found(void *user, struct addrinfo *list)
{
        struct upstream *upstream = user;

        resolver_free(TAKE(upstream->resolver));
        if (list)
                open_at(upstream, list->ai_addr, list->ai_addrlen);
        else
                fail_all(upstream, CODE_BAD_GATEWAY, "the target's name is not known");
        if (list)
                freeaddrinfo(list);
}

static void open_session(struct upstream *upstream)
{
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM }, *list = NULL;

        if (upstream->session || upstream->resolver)
                return;
        if (!upstream->is_name && getaddrinfo(upstream->host, NULL, &hints, &list) == 0) {
                open_at(upstream, list->ai_addr, list->ai_addrlen);
                freeaddrinfo(list);
        } else if (!upstream->is_name || resolver_start(upstream->event, upstream->host, on_found, upstream,
                                                        &upstream->resolver) < 0) {
                fail_all(upstream, CODE_BAD_GATEWAY, "the target's name can not be looked up");
        }
}

static void close_session(struct upstream *upstream)
{
        coap_session_t *session = TAKE(upstream->session);

        if (session)
                coap_session_release(session);
}

static void give_session_up(struct upstream *upstream, const char *diagnostic)
{
        close_session(upstream);
        fail_sent(upstream, diagnostic);
}

/* --- what libcoap tells, in its callbacks --- */

static int on_coap_event(coap_session_t *session, coap_event_t event)
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

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
                    const coap_mid_t mid)
{
        struct upstream *upstream = coap_get_app_data(coap_session_get_context(session));
        uint8_t code = reason == COAP_NACK_TOO_MANY_RETRIES ? CODE_GATEWAY_TIMEOUT : CODE_BAD_GATEWAY;
        const char *diagnostic = reason == COAP_NACK_TOO_MANY_RETRIES ? "the target does not answer"
                                 : reason == COAP_NACK_RST            ? "the target rejected the request"
                                 : reason == COAP_NACK_BAD_RESPONSE   ? "the target's answer is malformed"
                                                                      : "the target can not be reached";
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

/* --- the loop --- */

static void send_queued(struct upstream *upstream)
{
        bool any = false;

        for (struct exchange *e = upstream->first; e; e = e->next)
                any |= e->state == EXCHANGE_QUEUED;
        if (!any)
                return;
        open_session(upstream);
        /* Before it is there libcoap would wait for it, and with it the whole daemon. */
        if (!upstream->session || coap_session_get_state(upstream->session) != COAP_SESSION_STATE_ESTABLISHED)
                return;
        for (struct exchange *e = upstream->first; e; e = e->next)
                if (e->state == EXCHANGE_QUEUED)
                        exchange_send(e);
}

static void tell(struct upstream *upstream, struct exchange *exchange)
{
        exchange->ready = false;
        exchange->answer.body = buf_span(&exchange->answer_body);
        exchange->answer.options = buf_span(&exchange->answer_options);
        upstream->telling = exchange;
        upstream->telling_ended = false;
        exchange->request.answered(exchange->request.user, &exchange->answer);
        upstream->telling = NULL;
        if (upstream->telling_ended)
                exchange_free(exchange);
}

static struct exchange *find_ready(const struct upstream *upstream)
{
        struct exchange *exchange = upstream->first;

        while (exchange && !exchange->ready)
                exchange = exchange->next;
        return exchange;
}

static void arm(struct upstream *upstream)
{
        uint64_t next = UINT64_MAX;

        for (const struct exchange *e = upstream->first; e; e = e->next)
                next = MIN(next, e->deadline_us);
        if (!upstream->first && upstream->session)
                next = upstream->idle_since_us + (uint64_t)upstream->conf->session_timeout * US_PER_S;
        if (next == UINT64_MAX) {
                sd_event_source_set_enabled(upstream->timer, SD_EVENT_OFF);
                return;
        }
        sd_event_source_set_time(upstream->timer, next);
        sd_event_source_set_enabled(upstream->timer, SD_EVENT_ONESHOT);
}

static int on_settle(sd_event_source *source, void *user)
{
        struct upstream *upstream = user;
        struct exchange *exchange;

        (void)source;
        if (upstream->failure)
                give_session_up(upstream, TAKE(upstream->failure));
        send_queued(upstream);
        while ((exchange = find_ready(upstream)))
                tell(upstream, exchange);
        if (upstream->first)
                upstream->idle_since_us = upstream_now(upstream);
        arm(upstream);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
        struct upstream *upstream = user;

        (void)source, (void)fd, (void)events;
        coap_io_process(upstream->context, COAP_IO_NO_WAIT);
        upstream_settle_soon(upstream);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
        struct upstream *upstream = user;
        uint64_t now = upstream_now(upstream);
        bool silent = false;

        (void)source, (void)usec;
        for (struct exchange *e = upstream->first; e; e = e->next)
                if (e->deadline_us <= now) {
                        silent |= e->state == EXCHANGE_SENT && upstream->heard_us < e->sent_us;
                        exchange_fail(e, CODE_GATEWAY_TIMEOUT, "the target does not answer");
                }
        /* Else libcoap would go on sending what nobody waits for, and hold back what comes next. */
        if (silent)
                give_session_up(upstream, "the target does not answer");
        if (!upstream->first &&
            now >= upstream->idle_since_us + (uint64_t)upstream->conf->session_timeout * US_PER_S)
                close_session(upstream);
        upstream_settle_soon(upstream);
        return 0;
}

/* --- exchanges --- */

static void new_token(struct upstream *upstream, uint8_t token[UPSTREAM_TOKEN])
{
        uint64_t number = upstream->next_token++;

        memcpy(token, &number, UPSTREAM_TOKEN);
}

static void queue(struct exchange *exchange)
{
        struct upstream *upstream = exchange->upstream;

        exchange->state = EXCHANGE_QUEUED;
        exchange->sent = 0;
        exchange->restarts = 0;
        exchange->fetches_rest = false;
        exchange->deadline_us = upstream_now(upstream) + (uint64_t)upstream->conf->timeout * US_PER_S;
        upstream_settle_soon(upstream);
}

struct exchange *upstream_ask(struct upstream *upstream, const struct upstream_request *request)
{
        struct exchange *exchange = calloc(1, sizeof *exchange);

        if (!exchange)
                return NULL;
        exchange->upstream = upstream;
        exchange->request = *request;
        buf_append_span(&exchange->options, request->options);
        buf_append_span(&exchange->body, request->body);
        if (!buf_ok(&exchange->options) || !buf_ok(&exchange->body)) {
                exchange_free(exchange);
                return NULL;
        }
        new_token(upstream, exchange->token);
        new_token(upstream, exchange->more_token);
        exchange->next = upstream->first;
        if (exchange->next)
                exchange->next->prev = exchange;
        upstream->first = exchange;
        queue(exchange);
        return exchange;
}

void exchange_again(struct exchange *exchange, const struct etag *etag)
{
        exchange->request.etag = *etag;
        queue(exchange);
}

/* RFC 7641, 3.6. Should it be lost, the next notification is rejected. */
static void deregister(struct exchange *exchange)
{
        struct upstream *upstream = exchange->upstream;
        coap_pdu_t *pdu;

        if (exchange->state != EXCHANGE_OBSERVED || !upstream->session ||
            coap_session_get_state(upstream->session) != COAP_SESSION_STATE_ESTABLISHED)
                return;
        pdu = exchange_message(exchange, COAP_OBSERVE_CANCEL);
        if (pdu)
                coap_send(upstream->session, pdu);
}

void exchange_end(struct exchange *exchange)
{
        struct upstream *upstream;

        if (!exchange)
                return;
        upstream = exchange->upstream;
        deregister(exchange);
        *(exchange->prev ? &exchange->prev->next : &upstream->first) = exchange->next;
        if (exchange->next)
                exchange->next->prev = exchange->prev;
        if (!upstream->first)
                upstream->idle_since_us = upstream_now(upstream);
        upstream_settle_soon(upstream);
        if (upstream->telling == exchange)
                upstream->telling_ended = true;
        else
                exchange_free(exchange);
}

/* --- life and death --- */

static int open_context(struct upstream *upstream)
{
        int r;

        upstream->context = coap_new_context(NULL);
        if (!upstream->context)
                return -ENOMEM;
        coap_set_app_data(upstream->context, upstream);
        coap_context_set_block_mode(upstream->context, 0);
        coap_register_response_handler(upstream->context, exchange_on_response);
        coap_register_nack_handler(upstream->context, on_nack);
        coap_register_event_handler(upstream->context, on_coap_event);
        r = sd_event_add_io(upstream->event, &upstream->io, coap_context_get_coap_fd(upstream->context),
                            EPOLLIN, on_io, upstream);
        if (r >= 0)
                r = sd_event_add_time(upstream->event, &upstream->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
                                      on_time, upstream);
        if (r >= 0)
                r = sd_event_source_set_enabled(upstream->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(upstream->event, &upstream->settle, on_settle, upstream);
        if (r >= 0)
                r = sd_event_source_set_enabled(upstream->settle, SD_EVENT_OFF);
        return MIN(r, 0);
}

int upstream_new(sd_event *event, const struct proxy_conf *conf, struct span own,
                 struct upstream **ret_upstream)
{
        struct upstream *upstream = calloc(1, sizeof *upstream);
        int r;

        if (!upstream)
                return -ENOMEM;
        upstream->event = sd_event_ref(event);
        upstream->conf = proxy_conf_copy(conf);
        buf_append_span(&upstream->own, own);
        r = upstream->conf && buf_ok(&upstream->own) ? proxy_read_target(upstream->conf, upstream) : -ENOMEM;
        if (r == 0)
                r = open_context(upstream);
        if (r == 0 && coap_prng(&upstream->next_token, sizeof upstream->next_token) != 1)
                r = -EIO;
        if (r < 0) {
                log_error("the way to %s: %s", conf->target, strerror(-r));
                upstream_free(upstream);
                return r;
        }
        *ret_upstream = upstream;
        return 0;
}

void upstream_free(struct upstream *upstream)
{
        if (!upstream)
                return;
        while (upstream->first)
                exchange_end(upstream->first);
        resolver_free(upstream->resolver);
        sd_event_source_disable_unref(upstream->io);
        sd_event_source_disable_unref(upstream->timer);
        sd_event_source_disable_unref(upstream->settle);
        close_session(upstream);
        coap_free_context(upstream->context);
        sd_event_unref(upstream->event);
        buf_deinit(&upstream->base);
        buf_deinit(&upstream->own);
        if (upstream->key.p)
                explicit_bzero(upstream->key.p, upstream->key.n);
        buf_deinit(&upstream->key);
        proxy_conf_free(upstream->conf);
        free(upstream);
}

bool upstream_same(const struct upstream *a, const struct upstream *b)
{
        return proxy_conf_same_way(a->conf, b->conf) && span_equal(buf_span(&a->key), buf_span(&b->key));
}

void upstream_adopt(struct upstream *upstream, const struct proxy_conf *conf)
{
        proxy_conf_take_numbers(upstream->conf, conf);
        if (upstream->session)
                coap_session_set_nstart(upstream->session, (uint16_t)conf->parallel);
        upstream_settle_soon(upstream);
}
