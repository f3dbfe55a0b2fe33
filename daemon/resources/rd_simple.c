/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simple registration (RFC 9176, 5.1): an endpoint sends an empty POST to /.well-known/rd, and is asked for its
 * /.well-known/core, at the address and port that it sent from. What it answers is registered, and then the POST is
 * answered; or at once, while the links of before are fresh.
 *
 * So somebody could have requests sent to whom he likes, and read in a lookup what they answer: nobody is asked before
 * the sender has proved its address, and not many at a time.
 */
#include "base/content_format.h"
#include "resources/message.h"
#include "resources/proxy_options.h"
#include "resources/proxy_upstream.h"
#include "resources/rd.h"

enum { OF_ONE_ADDRESS = 4, RETRY_AFTER_S = 5 };

struct rd_fetch {
        struct rd_fetch *next;
        struct rd *rd;
        struct rd_registration *registration; /* as the request wants it */
        uint64_t address;                     /* client_address() */
        struct upstream *upstream;
        struct pending *pending; /* NULL: its client does not wait any more */
        bool over;
};

static void fetch_free(struct rd_fetch *fetch)
{
        if (!fetch)
                return;
        upstream_free(fetch->upstream);
        rd_registration_free(fetch->registration);
        free(fetch);
}

static void fetch_freep(struct rd_fetch **fetch)
{
        fetch_free(*fetch);
}

/* `all`: those under way, too. */
static void sweep(struct rd *rd, bool all)
{
        struct rd_fetch **link = &rd->fetches, *fetch;

        while ((fetch = *link)) {
                if (!all && !fetch->over) {
                        link = &fetch->next;
                        continue;
                }
                *link = fetch->next;
                fetch_free(fetch);
        }
}

void rd_simple_sweep(struct rd *rd)
{
        sweep(rd, false);
}

void rd_simple_end(struct rd *rd)
{
        sweep(rd, true);
}

/* --- what the endpoint answers --- */

static void register_answer(struct rd_fetch *fetch, const struct upstream_answer *answer,
                            struct response *response)
{
        const char *wrong = answer->diagnostic;
        uint8_t code = answer->diagnostic ? answer->code : (uint8_t)CODE_BAD_GATEWAY;

        if (!wrong && answer->code != CODE_CONTENT)
                wrong = "it is answered with an error";
        else if (!wrong && answer->content_format >= 0 &&
                 answer->content_format != CONTENT_FORMAT_LINK_FORMAT)
                wrong = "it has another content format";
        else if (!wrong && !rd_links_in_order(answer->body))
                wrong = "it is no link-format (RFC 6690)";
        if (wrong) {
                response_error(response, code, "your /.well-known/core: %s", wrong);
                return;
        }
        fetch->registration->fresh_until_us = rd_now_us() + answer->max_age * UINT64_C(1000000);
        if (rd_make_registration(fetch->rd, TAKE(fetch->registration), answer->body, response))
                response->code = CODE_CHANGED;
}

static void fetched(void *user, const struct upstream_answer *answer)
{
        struct rd_fetch *fetch = user;
        struct response response = { .max_age = -1 };

        fetch->over = true;
        register_answer(fetch, answer, &response);
        if (fetch->pending)
                request_answer(TAKE(fetch->pending), &response);
        rd_wake_soon(fetch->rd); /* which frees it */
}

/* The endpoint is registered even so: the next time it is answered at once. */
static void waits_no_more(void *user)
{
        struct rd_fetch *fetch = user;

        fetch->pending = NULL;
}

/* --- asking --- */

static bool open_way(struct rd_fetch *fetch, const struct request *request)
{
        const struct rd *rd = fetch->rd;
        CLEANUP(buf_deinit) struct buf target = { 0 };
        struct proxy_conf conf = { .timeout = rd->conf->fetch_timeout,
                                   .session_timeout = 1,
                                   .parallel = 1,
                                   .max_size = rd->conf->max_size,
                                   .link = request_peer_link(request) };

        if (!request_peer_uri(request, &target) || !buf_ok(&target))
                return false;
        conf.target = (char *)buf_string(&target);
        return upstream_new(resource_event(rd->resource), &conf, (struct span){ 0 }, &fetch->upstream) == 0;
}

static bool ask(struct rd_fetch *fetch, const struct request *request)
{
        CLEANUP(buf_deinit) struct buf options = { 0 };
        struct upstream_request get = { .method = METHOD_GET, .answered = fetched, .user = fetch };

        options_add(&options, COAP_OPTION_URI_PATH, SPAN_LITERAL(".well-known"));
        options_add(&options, COAP_OPTION_URI_PATH, SPAN_LITERAL("core"));
        options_add_uint(&options, COAP_OPTION_ACCEPT, CONTENT_FORMAT_LINK_FORMAT);
        get.options = buf_span(&options);
        return buf_ok(&options) && open_way(fetch, request) && upstream_ask(fetch->upstream, &get);
}

static bool is_for(const struct rd_fetch *fetch, const struct rd_registration *registration)
{
        const struct rd_registration *its = fetch->registration;

        return !fetch->over && span_equal(buf_span(&its->endpoint), buf_span(&registration->endpoint)) &&
               span_equal(buf_span(&its->sector), buf_span(&registration->sector));
}

static bool may_ask(const struct rd *rd, const struct rd_registration *registration, uint64_t address,
                    struct response *response)
{
        size_t n = 0, n_address = 0;
        bool asked = false;

        for (const struct rd_fetch *fetch = rd->fetches; fetch; fetch = fetch->next) {
                n++;
                n_address += fetch->address == address;
                asked |= is_for(fetch, registration);
        }
        response->max_age = RETRY_AFTER_S;
        if (asked)
                response_error(response, CODE_UNAVAILABLE, "this endpoint is being asked already");
        else if (n_address >= OF_ONE_ADDRESS)
                response_error(response, CODE_TOO_MANY_REQUESTS, "too many of this address are being asked");
        else if (n >= (size_t)rd->conf->max_fetches)
                response_error(response, CODE_UNAVAILABLE, "too many endpoints are being asked");
        else
                response->max_age = -1;
        return !response->code;
}

/* Takes `registration` over. */
static void begin(struct rd *rd, struct rd_registration *registration, const struct request *request,
                  struct response *response)
{
        enum { SLACK_S = 5 }; /* the fetch's own time limit comes first, and says more */
        CLEANUP(fetch_freep) struct rd_fetch *fetch = calloc(1, sizeof *fetch);
        struct wait wait = { .most_us = (uint64_t)(rd->conf->fetch_timeout + SLACK_S) * UINT64_C(1000000),
                             .ended = waits_no_more,
                             .user = fetch };
        struct pending *pending;

        if (!fetch) {
                rd_registration_free(registration);
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        fetch->rd = rd;
        fetch->registration = registration;
        fetch->address = request->message->address;
        if (!ask(fetch, request)) {
                response_error(response, CODE_UNAVAILABLE, "no way to ask for your /.well-known/core");
                return;
        }
        pending = resource_answer_later(rd->resource, request, response, &wait);
        if (!pending)
                return;
        fetch->pending = pending;
        fetch->next = rd->fetches;
        rd->fetches = TAKE(fetch);
}

/* --- the request --- */

static bool is_in_order(const struct rd *rd, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf who = { 0 };
        struct span unused;

        resource_identify(rd->resource, request, &who);
        if (request->body.n > 0)
                response_error(response, CODE_BAD_REQUEST,
                               "here is no body: your /.well-known/core is asked for");
        else if (request_query(request, "base", &unused))
                response_error(response, CODE_BAD_REQUEST, "base is where you send from");
        else if (who.n > 0 || !request->message ||
                 coap_session_get_proto(request->message->session) != COAP_PROTO_UDP)
                response_error(response, CODE_NOT_IMPLEMENTED,
                               "only over UDP without keys: post your links to /%s",
                               resource_path(rd->resource));
        return !response->code;
}

/* Whether the links that it has are fresh still: then nobody is asked for them. */
static bool has_fresh_links(const struct rd_registration *old, const struct rd_registration *registration)
{
        return old && old->simple && old->fresh_until_us > rd_now_us() && old->link == registration->link &&
               span_equal(buf_span(&old->base), buf_span(&registration->base));
}

void rd_register_simply(struct rd *rd, const struct request *request, struct response *response)
{
        CLEANUP(rd_registration_freep) struct rd_registration *registration = rd_registration_new();
        const struct rd_registration *old;

        if (!registration) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        if (!is_in_order(rd, request, response) ||
            !rd_registration_read(registration, request, false, response) ||
            !rd_may_register(rd, registration, 0, response) ||
            !request_has_proved(rd->resource, request, response))
                return;
        registration->simple = true;
        old = rd_find_endpoint(rd, buf_span(&registration->endpoint), buf_span(&registration->sector));
        if (has_fresh_links(old, registration)) {
                registration->fresh_until_us = old->fresh_until_us;
                if (rd_make_registration(rd, TAKE(registration),
                                         span_of(old->links->data, (size_t)old->links->size), response))
                        response->code = CODE_CHANGED;
        } else if (may_ask(rd, registration, request->message->address, response)) {
                begin(rd, TAKE(registration), request, response);
        }
}
