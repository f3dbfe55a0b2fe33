/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked of the target, and the loop; see proxy_upstream.h. The session with it is in proxy_session.c. */
#include <errno.h>
#include <sys/epoll.h>

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

/* --- the loop --- */

static void send_queued(struct upstream *upstream)
{
        bool any = false;

        for (struct exchange *e = upstream->first; e; e = e->next)
                any |= e->state == EXCHANGE_QUEUED;
        if (!any)
                return;
        session_open(upstream);
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
                session_give_up(upstream, TAKE(upstream->failure));
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
                session_give_up(upstream, "the target does not answer");
        if (!upstream->first &&
            now >= upstream->idle_since_us + (uint64_t)upstream->conf->session_timeout * US_PER_S)
                session_close(upstream);
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
        exchange->fetches_rest = exchange->echoes = false;
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
        coap_register_nack_handler(upstream->context, session_on_nack);
        coap_register_event_handler(upstream->context, session_on_event);
        /* The timer is off until there is a time; and it settles once, with nothing to do. */
        r = sd_event_add_io(upstream->event, &upstream->io, coap_context_get_coap_fd(upstream->context),
                            EPOLLIN, on_io, upstream);
        if (r >= 0)
                r = sd_event_add_time(upstream->event, &upstream->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
                                      on_time, upstream);
        if (r >= 0)
                r = sd_event_add_defer(upstream->event, &upstream->settle, on_settle, upstream);
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
        session_close(upstream);
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
