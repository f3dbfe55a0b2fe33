/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies by Q-Block1; see qblock1.h. */
#include "resources/qblock1.h"

#include "base/cbor.h"
#include "resources/blockwise_internal.h"
#include "resources/qblock.h"

enum {
        AHEAD_MOST = 32, /* blocks behind the first that is missing: what is further ahead comes again */
        NAMED_MOST = MAX_PAYLOADS, /* of those that are missing, in one answer */
};

static bool is_non(const struct message *m)
{
        return coap_pdu_get_type(m->pdu) == COAP_MESSAGE_NON;
}

static uint32_t set_of(uint32_t num)
{
        return num / MAX_PAYLOADS;
}

static uint32_t blocks_of(const struct quick *q)
{
        return (uint32_t)(((uint64_t)q->size + (16U << q->szx) - 1) >> (q->szx + 4));
}

static bool has_block(const struct quick *q, uint32_t num)
{
        if (num <= q->next)
                return num < q->next;
        return num - q->next <= AHEAD_MOST && q->ahead >> (num - q->next - 1) & 1;
}

static void mark(struct quick *q, uint32_t num)
{
        if (num > q->next) {
                q->ahead |= (uint64_t)1 << (num - q->next - 1);
                return;
        }
        for (bool more = true; more; q->next++) {
                more = q->ahead & 1;
                q->ahead >>= 1;
        }
}

static uint8_t say_nothing(struct response *response)
{
        response->later = true;
        return CODE_CONTINUE;
}

/* The missing blocks before `end`. */
static void list_missing(const struct quick *q, uint32_t end, struct buf *out)
{
        size_t named = 0;

        end = MIN(MIN(end, blocks_of(q)), q->next + 1 + AHEAD_MOST);
        for (uint32_t num = q->next; num < end && named < NAMED_MOST; num++)
                if (!has_block(q, num)) {
                        cbor_uint(out, num);
                        named++;
                }
}

/* It is not what the request asks for, and is given whole. */
static uint8_t name_missing(const struct quick *q, uint32_t end, struct message *m, struct response *response)
{
        CLEANUP(buf_deinit) struct buf list = { 0 };

        list_missing(q, end, &list);
        if (buf_ok(&list))
                response->content = representation_new(buf_span(&list), FORMAT_MISSING_BLOCKS);
        if (!response->content)
                return transfer_refuse_memory(response);
        response->with_content = true;
        m->has_block2 = m->q_block2 = false;
        return response->code = CODE_INCOMPLETE;
}

/*
 * A set of MAX_PAYLOADS is whole, and all before it: the client may go on. With the first block of another set it hears
 * what is missing of those before. Of its own set the others may still be on their way: qblock1_ask() waits for them.
 * All that is for NON alone (RFC 9177, 4.3): other blocks are acknowledged, and come again until they are.
 */
static uint8_t go_on(const struct quick *q, struct message *m, uint32_t next_before, uint32_t seen_before,
                     struct response *response)
{
        uint32_t set = set_of(q->seen - 1);

        if (!is_non(m))
                return say_nothing(response);
        if (q->next < set * MAX_PAYLOADS && seen_before > 0 && set > set_of(seen_before - 1))
                return name_missing(q, set * MAX_PAYLOADS, m, response);
        if (set_of(q->next) == set_of(next_before))
                return say_nothing(response);
        m->block1.num = set_of(q->next) * MAX_PAYLOADS - 1;
        return CODE_CONTINUE;
}

/* The body is there: the block that completed it is answered again. */
static uint8_t answer_again(const struct transfer *t, struct message *m, struct response *response)
{
        const struct quick *q = &t->quick;

        if (m->block1.m && m->block1.num != q->completed)
                return say_nothing(response);
        if (message_is_safe(m)) {
                m->request.body = buf_span(&t->body);
                return 0;
        }
        if (!q->answer)
                return say_nothing(response);
        if (q->answer == CODE_INCOMPLETE)
                response_error(response, q->answer, "the answer is not here any more: start again");
        response->location = buf_span(&t->body);
        return response->code = q->answer;
}

/* RFC 9177, 4.3: the payload is ignored, the answer is as to the first time. */
static uint8_t take_again(const struct transfer *t, struct message *m, struct response *response)
{
        uint32_t num = m->block1.num;

        if (t->quick.whole)
                return answer_again(t, m, response);
        if (is_non(m) && num < t->quick.next && (num + 1) % MAX_PAYLOADS == 0)
                return CODE_CONTINUE;
        return say_nothing(response);
}

static bool keeps_body(const struct transfer *t)
{
        return !t->quick.whole || t->method == METHOD_GET || t->method == METHOD_FETCH;
}

/* What came before under its number was something else. */
static bool differs(const struct transfer *t, const struct message *m)
{
        size_t offset = (size_t)m->block1.num << (m->block1.szx + 4);
        struct span data = m->request.body;

        if (!keeps_body(t))
                return m->block1.num == 0 && coap_pdu_get_mid(m->pdu) != t->quick.first;
        if (t->quick.szx != m->block1.szx || !has_block(&t->quick, m->block1.num))
                return false;
        return offset + data.n > t->body.n || !span_equal(span_of(t->body.p + offset, data.n), data);
}

/*
 * The transfer of a block. A client that uses a Request-Tag again, which it must not, begins another one, as far as
 * that can be told. NULL: no memory.
 */
static struct transfer *transfer_of(struct blockwise *b, const struct message *m)
{
        struct transfer *t = transfer_find(b, m);

        if (t && differs(t, m)) {
                transfer_drop(b, t);
                t = NULL;
        }
        if (t)
                return t;
        t = transfer_begin(b, m);
        if (t) {
                t->quick.szx = (uint8_t)m->block1.szx;
                t->quick.size = (uint32_t)m->size1;
        }
        return t;
}

static uint8_t refuse(struct response *response, const char *why)
{
        response_error(response, CODE_BAD_REQUEST, "%s", why);
        return response->code;
}

/* Too far ahead, it only shows what is missing. */
static uint8_t take_far(struct blockwise *b, struct transfer *t, struct message *m, uint32_t seen_before,
                        struct response *response)
{
        if (is_non(m))
                return go_on(&t->quick, m, t->quick.next, seen_before, response);
        /* It would not come again, once it is acknowledged. */
        transfer_drop(b, t);
        response_error(response, CODE_INCOMPLETE, "blocks before this one are missing: start again");
        return response->code;
}

/* One that is not there. */
static uint8_t take_new(struct blockwise *b, struct transfer *t, struct message *m, struct response *response)
{
        const coap_block_b_t *block = &m->block1;
        struct quick *q = &t->quick;
        uint32_t next_before = q->next, seen_before = q->seen;

        q->seen = MAX(q->seen, block->num + 1);
        if (block->num > q->next + AHEAD_MOST)
                return take_far(b, t, m, seen_before, response);
        if (!transfer_keep(b, t, (uint64_t)block->num << (block->szx + 4), m->request.body)) {
                transfer_drop(b, t);
                return transfer_refuse_memory(response);
        }
        if (block->num == 0)
                q->first = (uint16_t)coap_pdu_get_mid(m->pdu);
        mark(q, block->num);
        if (q->next < blocks_of(q))
                return go_on(q, m, next_before, seen_before, response);
        q->whole = true;
        q->completed = block->num;
        if (keeps_body(t))
                m->request.body = buf_span(&t->body);
        else
                transfer_hand_over(b, t, m);
        return 0;
}

/* Who is asked, when no more come. */
static void note_message(struct quick *q, const struct message *m)
{
        q->asks = is_non(m) && m->token.length <= sizeof q->token && !message_silences(m, CODE_INCOMPLETE);
        q->asked = 0;
        q->due = transfer_now() + NON_RECEIVE_TIMEOUT_S;
        if (!q->asks)
                return;
        q->token_length = (uint8_t)m->token.length;
        if (m->token.length)
                memcpy(q->token, m->token.s, m->token.length);
}

/* RFC 9177, 4.3 and 4.7: what every block has to say of its body. NULL: it does. */
static const char *what_is_wrong(const struct message *m)
{
        const coap_block_b_t *block = &m->block1;
        size_t unit = (size_t)16 << block->szx;
        uint64_t end = (uint64_t)block->num * unit + m->request.body.n;

        if (!m->request_tag.p || !message_option(m->pdu, COAP_OPTION_SIZE1))
                return "Q-Block1 is nothing without a Request-Tag and a Size1";
        if (block->m ? m->request.body.n != unit : m->request.body.n > unit)
                return "the payload does not fill its block";
        return (block->m ? end < m->size1 : end == m->size1) ? NULL : "the body is not of this Size1";
}

uint8_t qblock1_take(struct blockwise *b, struct message *m, size_t max_body, struct response *response)
{
        const coap_block_b_t *block = &m->block1;
        const char *wrong = what_is_wrong(m);
        struct transfer *t;

        if (m->size1 > max_body) {
                t = transfer_find(b, m);
                if (t)
                        transfer_drop(b, t);
                return transfer_refuse_size(response, max_body);
        }
        if (wrong)
                return refuse(response, wrong);
        if (block->num == 0 && !block->m)
                return 0;
        t = transfer_of(b, m);
        if (!t)
                return transfer_refuse_memory(response);
        transfer_touch(b, t);
        note_message(&t->quick, m);
        if (t->content_format != m->request.content_format || t->quick.szx != block->szx ||
            t->quick.size != m->size1) {
                transfer_drop(b, t);
                return refuse(response, "this block is of another body than those before");
        }
        if (t->quick.whole || has_block(&t->quick, block->num))
                return take_again(t, m, response);
        return take_new(b, t, m, response);
}

/* For the rest of the set, or for the next one, which the client has sent by now. */
static void ask(const struct transfer *t)
{
        CLEANUP(buf_deinit) struct buf list = { 0 };
        const struct quick *q = &t->quick;
        coap_session_t *session = t->session;
        coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_NON, COAP_RESPONSE_CODE_INCOMPLETE,
                                        coap_new_message_id(session), coap_session_max_pdu_size(session));
        uint8_t format[2];

        list_missing(q, (set_of(MAX(q->seen - 1, q->next)) + 1) * MAX_PAYLOADS, &list);
        if (!pdu || !buf_ok(&list) || !coap_add_token(pdu, q->token_length, q->token) ||
            !coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT,
                             coap_encode_var_safe(format, sizeof format, FORMAT_MISSING_BLOCKS), format) ||
            !coap_add_data(pdu, list.n, list.p))
                coap_delete_pdu(pdu);
        else
                coap_send(session, pdu);
}

unsigned qblock1_ask(struct blockwise *b)
{
        time_t now = transfer_now(), next = 0;
        struct transfer *t, *newer;

        for (t = b->oldest; t; t = newer) {
                struct quick *q = &t->quick;

                newer = t->newer;
                if (!t->by_quick || !q->asks || q->whole)
                        continue;
                if (q->due <= now && q->asked == NON_MAX_RETRANSMIT) {
                        transfer_drop(b, t);
                        continue;
                }
                if (q->due <= now) {
                        q->asked++;
                        q->due = now + (NON_RECEIVE_TIMEOUT_S << q->asked);
                        ask(t);
                        newer = b->oldest; /* its session may have ended, and transfers with it */
                        continue;
                }
                next = next ? MIN(next, q->due) : q->due;
        }
        return next ? (unsigned)MAX(next - now, (time_t)1) : 0;
}

void qblock1_answered(struct blockwise *b, const struct message *m, const struct response *response,
                      uint8_t code)
{
        struct transfer *t = transfer_find(b, m);

        if (!t || keeps_body(t) || t->quick.answer)
                return;
        /* What came with it is not kept, and the code alone would be another answer. */
        t->quick.answer = response->with_content && code >> 5 == 2 ? CODE_INCOMPLETE : code;
        if (!transfer_keep(b, t, 0, response->location))
                transfer_drop(b, t);
}
