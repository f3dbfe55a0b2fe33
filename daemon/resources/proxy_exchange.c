/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request to another server and its answer, bodies block by block in both directions (RFC 7959), and the answers of
 * an observation (RFC 7641). Blocks are put together here, not in libcoap, so that what a server announces takes no
 * memory before it comes.
 */
#include <errno.h>

#include "base/log.h"
#include "resources/proxy_internal.h"

enum { BLOCK_SZX = 6, BLOCK = 1024, RESTARTS_MOST = 3, RESERVE = 64, DEFAULT_MAX_AGE = 60 };

/* --- requests --- */

static void put(coap_optlist_t **list, unsigned number, struct span value)
{
        coap_insert_optlist(list, coap_new_optlist((uint16_t)number, value.n, value.p));
}

static void put_uint(coap_optlist_t **list, unsigned number, uint32_t value)
{
        uint8_t encoded[4];
        unsigned n = coap_encode_var_safe(encoded, sizeof encoded, value);

        put(list, number, span_of(encoded, n));
}

static coap_pdu_t *new_message(struct exchange *exchange, const uint8_t *token, coap_optlist_t **list,
                               struct span payload)
{
        coap_session_t *session = exchange->upstream->session;
        struct span options = buf_span(&exchange->options), value;
        coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, (coap_pdu_code_t)exchange->request.method,
                                        coap_new_message_id(session), coap_session_max_pdu_size(session));
        unsigned number;

        while (options_next(&options, &number, &value))
                put(list, number, value);
        if (exchange->echo_n > 0)
                put(list, COAP_OPTION_ECHO, span_of(exchange->echo, exchange->echo_n));
        if (pdu && coap_add_token(pdu, UPSTREAM_TOKEN, token) &&
            (!*list || coap_add_optlist_pdu(pdu, list)) &&
            (payload.n == 0 || coap_add_data(pdu, payload.n, payload.p)))
                return pdu;
        coap_delete_pdu(pdu);
        return NULL;
}

static void send_message(struct exchange *exchange, const uint8_t *token, coap_optlist_t **list,
                         struct span payload)
{
        coap_pdu_t *pdu = new_message(exchange, token, list, payload);

        coap_delete_optlist(*list);
        *list = NULL;
        if (!pdu)
                exchange_fail(exchange, CODE_BAD_GATEWAY,
                              "the request does not fit into a message to the target");
        else if (coap_send(exchange->upstream->session, pdu) == COAP_INVALID_MID)
                exchange_fail(exchange, CODE_BAD_GATEWAY, "the target cannot be reached");
}

coap_pdu_t *exchange_message(struct exchange *exchange, uint32_t observe)
{
        coap_optlist_t *list = NULL;
        coap_pdu_t *pdu;

        put_uint(&list, COAP_OPTION_OBSERVE, observe);
        pdu = new_message(exchange, exchange->token, &list, (struct span){ 0 });
        coap_delete_optlist(list);
        return pdu;
}

/* How much of a body goes in one piece: all that a stream takes, one block of a datagram. */
static size_t piece_of(const struct exchange *exchange)
{
        coap_session_t *session = exchange->upstream->session;
        size_t most = coap_session_max_pdu_size(session);
        size_t options = exchange->options.n + RESERVE;

        if (!COAP_PROTO_RELIABLE(coap_session_get_proto(session)))
                return BLOCK;
        return most > options + BLOCK ? most - options : BLOCK;
}

void exchange_send(struct exchange *exchange)
{
        coap_optlist_t *list = NULL;
        struct span body = buf_span(&exchange->body);
        struct span piece = span_skip(body, exchange->sent);
        size_t most = exchange->sent ? (size_t)16 << exchange->szx : piece_of(exchange);

        if (exchange->sent == 0 && body.n > most) {
                exchange->szx = BLOCK_SZX;
                most = BLOCK;
        }
        exchange->state = EXCHANGE_SENT;
        exchange->sent_us = upstream_now(exchange->upstream);
        if (exchange->request.observe)
                put_uint(&list, COAP_OPTION_OBSERVE, COAP_OBSERVE_ESTABLISH);
        if (exchange->request.etag.n)
                put(&list, COAP_OPTION_ETAG, etag_span(&exchange->request.etag));
        if (body.n > most || exchange->sent) {
                bool more = piece.n > most;

                piece.n = MIN(piece.n, most);
                put_uint(&list, COAP_OPTION_BLOCK1,
                         (uint32_t)(exchange->sent >> (exchange->szx + 4)) << 4 | (uint32_t)more << 3 |
                                 exchange->szx);
                if (exchange->sent == 0)
                        put_uint(&list, COAP_OPTION_SIZE1, (uint32_t)body.n);
        } else
                exchange->sent = body.n;
        send_message(exchange, exchange->token, &list, piece);
}

/* The next block of the answer. A FETCH is told by its body, which others need not give again. */
static void ask_for_more(struct exchange *exchange, const coap_block_b_t *block)
{
        coap_optlist_t *list = NULL;
        struct span body = buf_span(&exchange->body);
        bool again = exchange->request.method == METHOD_FETCH && body.n <= BLOCK;
        uint32_t number = (uint32_t)(exchange->answer_body.n >> (block->szx + 4));

        put_uint(&list, COAP_OPTION_BLOCK2, number << 4 | block->aszx);
        if (exchange->request.observe)
                exchange->fetches_rest = true;
        send_message(exchange, exchange->request.observe ? exchange->more_token : exchange->token, &list,
                     again ? body : (struct span){ 0 });
}

/* --- answers --- */

static void over(struct exchange *exchange, bool observed)
{
        exchange->state = observed ? EXCHANGE_OBSERVED : EXCHANGE_OVER;
        exchange->ready = true;
        exchange->fetches_rest = false;
        exchange->deadline_us = UINT64_MAX;
        upstream_settle_soon(exchange->upstream);
}

void exchange_fail(struct exchange *exchange, uint8_t code, const char *diagnostic)
{
        buf_reset(&exchange->answer_body);
        exchange->answer =
                (struct upstream_answer){ .code = code, .diagnostic = diagnostic, .content_format = -1 };
        over(exchange, false);
}

/* RFC 7252, 5.7. False: it has an option that is unsafe to forward, and means something that we do not know. */
static bool read_representation(struct exchange *exchange, const coap_pdu_t *received)
{
        struct upstream_answer *answer = &exchange->answer;
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        *answer = (struct upstream_answer){ .code = (uint8_t)coap_pdu_get_code(received),
                                            .content_format = -1,
                                            .max_age = DEFAULT_MAX_AGE };
        coap_option_iterator_init(received, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };

                if (iterator.number == COAP_OPTION_CONTENT_FORMAT)
                        answer->content_format = (int)coap_decode_var_bytes(value.p, value.n);
                else if (iterator.number == COAP_OPTION_MAXAGE)
                        answer->max_age = coap_decode_var_bytes(value.p, value.n);
                else if (iterator.number == COAP_OPTION_SIZE1)
                        answer->size1 = coap_decode_var_bytes(value.p, value.n);
                else if (iterator.number == COAP_OPTION_ETAG && value.n > 0 && value.n <= ETAG_MAX) {
                        answer->etag.n = (uint8_t)value.n;
                        memcpy(answer->etag.b, value.p, value.n);
                }
        }
        buf_reset(&exchange->answer_options);
        return options_of_answer(received, buf_span(&exchange->upstream->base),
                                 buf_span(&exchange->upstream->own), &exchange->answer_options) == 0;
}

/* Another representation than the one whose first blocks are here: from its beginning again. */
static void begin_again(struct exchange *exchange, const coap_block_b_t *block)
{
        buf_reset(&exchange->answer_body);
        if (exchange->restarts++ >= RESTARTS_MOST)
                exchange_fail(exchange, CODE_BAD_GATEWAY,
                              "the target changes it faster than it can be fetched");
        else
                ask_for_more(exchange, block);
}

/* Returns whether the answer is whole. */
static bool take_block(struct exchange *exchange, const coap_pdu_t *received, struct span payload)
{
        struct etag before = exchange->answer.etag;
        size_t max = (size_t)exchange->upstream->conf->max_size;
        coap_block_b_t block = { 0 };
        bool blocks = coap_get_block_b(exchange->upstream->session, received, COAP_OPTION_BLOCK2, &block);
        bool first = !blocks || block.num == 0;

        if (first)
                buf_reset(&exchange->answer_body);
        else if (((uint64_t)block.num << (block.szx + 4)) != exchange->answer_body.n) {
                exchange_fail(exchange, CODE_BAD_GATEWAY,
                              "the target sent another block than the one asked for");
                return false;
        }
        if (!read_representation(exchange, received)) {
                exchange_fail(exchange, CODE_BAD_GATEWAY,
                              "the target's answer has an option that cannot be passed on");
                return false;
        }
        if (!first && !etag_equal(&before, &exchange->answer.etag)) {
                begin_again(exchange, &block);
                return false;
        }
        if (exchange->answer_body.n + payload.n > max) {
                exchange_fail(exchange, CODE_BAD_GATEWAY, "the target's answer is larger than max_size");
                return false;
        }
        buf_append_span(&exchange->answer_body, payload);
        if (!buf_ok(&exchange->answer_body)) {
                exchange_fail(exchange, CODE_UNAVAILABLE, "out of memory");
                return false;
        }
        if (!blocks || !block.m)
                return true;
        if (payload.n == 0) {
                exchange_fail(exchange, CODE_BAD_GATEWAY, "the target sent an empty block");
                return false;
        }
        ask_for_more(exchange, &block);
        return false;
}

/* 2.31, or a success to a block that is not the last: the next one. Returns whether there is one. */
static bool send_next_block(struct exchange *exchange, const coap_pdu_t *received)
{
        coap_block_b_t block;
        size_t done;

        if (!coap_get_block_b(exchange->upstream->session, received, COAP_OPTION_BLOCK1, &block) ||
            (coap_pdu_get_code(received) >> 5) != 2)
                return false;
        /* The target may ask for smaller ones from the first on (RFC 7959, 2.3). */
        done = exchange->sent + MIN(exchange->body.n - exchange->sent, (size_t)16 << exchange->szx);
        if (done >= exchange->body.n)
                return false;
        exchange->sent = done;
        exchange->szx = MIN(exchange->szx, block.szx);
        exchange_send(exchange);
        return true;
}

/* RFC 7641, 3.4. Whether a notification is newer than the one before it. */
static bool is_newer(struct exchange *exchange, uint32_t number)
{
        enum { HALF = 1 << 23, FORGOTTEN_US = 128 * 1000 * 1000 };
        uint64_t now = upstream_now(exchange->upstream);
        uint32_t before = exchange->observe_number;
        bool first = exchange->observe_us == 0 || now > exchange->observe_us + FORGOTTEN_US;

        if (!first && COAP_PROTO_NOT_RELIABLE(exchange->upstream->proto) &&
            !((before < number && number - before < HALF) || (before > number && before - number > HALF)))
                return false;
        exchange->observe_number = number;
        exchange->observe_us = MAX(now, (uint64_t)1);
        return true;
}

/* A notification, or the answer to the registration. */
static bool note_observe(struct exchange *exchange, const coap_pdu_t *received, bool *ret_observed)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(received, COAP_OPTION_OBSERVE, &iterator);

        *ret_observed = option != NULL;
        if (!option)
                return true;
        return is_newer(exchange, coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option))) ||
               exchange->state == EXCHANGE_SENT;
}

/*
 * RFC 9175, 2.3: the target wants to see that the request is fresh, or that our address is ours. It is asked once more,
 * from the first block on. Returns whether it is.
 */
static bool send_with_echo(struct exchange *exchange, const coap_pdu_t *received)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(received, COAP_OPTION_ECHO, &iterator);
        size_t n = option ? coap_opt_length(option) : 0;

        if (coap_pdu_get_code(received) != COAP_RESPONSE_CODE_UNAUTHORIZED || exchange->echoes || n == 0 ||
            n > sizeof exchange->echo)
                return false;
        memcpy(exchange->echo, coap_opt_value(option), n);
        exchange->echo_n = n;
        exchange->echoes = true;
        exchange->sent = 0;
        exchange_send(exchange);
        return true;
}

static void take_answer(struct exchange *exchange, const coap_pdu_t *received, bool is_rest)
{
        struct span payload = { 0 };
        bool observed = is_rest;

        if (exchange->state == EXCHANGE_SENT && send_with_echo(exchange, received))
                return;
        coap_get_data(received, &payload.n, &payload.p);
        if (exchange->sent < exchange->body.n && send_next_block(exchange, received))
                return;
        if (!is_rest && exchange->request.observe && !note_observe(exchange, received, &observed))
                return;
        if (coap_pdu_get_code(received) == COAP_RESPONSE_CODE_CONTINUE) {
                exchange_fail(exchange, CODE_BAD_GATEWAY, "the target waits for more than there is");
                return;
        }
        if (!take_block(exchange, received, payload))
                return;
        exchange->restarts = 0;
        /*
         * libcoap adds our address to those that it names, and drops it when ours is among them: round a loop it would
         * never come back.
         */
        if (exchange->answer.code == CODE_HOP_LIMIT_REACHED)
                buf_reset(&exchange->answer_body);
        exchange->answer.observed = observed && exchange->answer.code >> 5 == 2;
        over(exchange, exchange->answer.observed);
}

static struct exchange *find(struct upstream *upstream, coap_bin_const_t token, bool *ret_is_rest)
{
        for (struct exchange *e = upstream->first; e; e = e->next) {
                if (token.length != UPSTREAM_TOKEN)
                        break;
                *ret_is_rest = e->fetches_rest && memcmp(e->more_token, token.s, UPSTREAM_TOKEN) == 0;
                if (*ret_is_rest || memcmp(e->token, token.s, UPSTREAM_TOKEN) == 0)
                        return e;
        }
        return NULL;
}

coap_response_t exchange_on_response(coap_session_t *session, const coap_pdu_t *sent,
                                     const coap_pdu_t *received, const coap_mid_t mid)
{
        struct upstream *upstream = coap_get_app_data(coap_session_get_context(session));
        bool is_rest = false;
        struct exchange *exchange = find(upstream, coap_pdu_get_token(received), &is_rest);

        (void)sent;
        (void)mid;
        upstream->heard_us = upstream_now(upstream);
        /* A RST to what nobody waits for ends an observation that we have forgotten. */
        if (!exchange || session != upstream->session ||
            (exchange->state != EXCHANGE_SENT && exchange->state != EXCHANGE_OBSERVED))
                return COAP_RESPONSE_FAIL;
        take_answer(exchange, received, is_rest);
        return COAP_RESPONSE_OK;
}

void exchange_free(struct exchange *exchange)
{
        buf_deinit(&exchange->options);
        buf_deinit(&exchange->body);
        buf_deinit(&exchange->answer_body);
        buf_deinit(&exchange->answer_options);
        free(exchange);
}
