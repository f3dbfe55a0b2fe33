/* SPDX-License-Identifier: BSD-2-Clause */
/* The blocks that follow the first of a Q-Block2 (RFC 9177, 4.4); see qblock.h. */
#include <errno.h>

#include "base/util.h"
#include "resources/qblock.h"

/* Of all clients, for one turn: about 4 MiB. What does not go in is asked for again. */
enum { WAITING_MOST = 4096, WAITING_FIRST = 64 };

struct waiting {
        coap_session_t *session; /* libcoap tells when it ends */
        coap_pdu_t *pdu;
};

struct qblock_burst {
        struct waiting *v;
        size_t n, room;
};

int qblock_burst_new(struct qblock_burst **ret_burst)
{
        struct qblock_burst *burst = calloc(1, sizeof *burst);

        if (!burst)
                return -ENOMEM;
        *ret_burst = burst;
        return 0;
}

void qblock_burst_free(struct qblock_burst *burst)
{
        if (!burst)
                return;
        for (size_t i = 0; i < burst->n; i++)
                coap_delete_pdu(burst->v[i].pdu);
        free(burst->v);
        free(burst);
}

static bool has_room(struct qblock_burst *burst)
{
        struct waiting *grown;

        if (burst->n < burst->room)
                return true;
        if (burst->n == WAITING_MOST)
                return false;
        grown = reallocarray(burst->v, burst->room ? 2 * burst->room : WAITING_FIRST, sizeof *grown);
        if (!grown)
                return false;
        burst->room = burst->room ? 2 * burst->room : WAITING_FIRST;
        burst->v = grown;
        return true;
}

/* RFC 9177, 4.6: its value is the same in all of them. */
static bool add_observe(coap_pdu_t *pdu, const coap_pdu_t *first)
{
        const coap_opt_t *observe = message_option(first, COAP_OPTION_OBSERVE);

        return !observe || coap_add_option(pdu, COAP_OPTION_OBSERVE, coap_opt_length(observe),
                                           coap_opt_value(observe)) > 0;
}

/* One block more. False: it is not to be had, and neither are those behind it. */
static bool add_block(struct qblock_burst *burst, struct message *m, const struct response *response,
                      const coap_pdu_t *first, uint32_t num)
{
        coap_pdu_t *pdu;

        m->block2.num = num;
        if ((uint64_t)num << (m->block2.szx + 4) >= response->content->size || !has_room(burst))
                return false;
        pdu = coap_pdu_init(COAP_MESSAGE_NON, (coap_pdu_code_t)response->code,
                            coap_new_message_id(m->session), coap_session_max_pdu_size(m->session));
        if (!pdu)
                return false;
        if (!coap_add_token(pdu, m->token.length, m->token.s) || !add_observe(pdu, first) ||
            message_respond(m, response, pdu) != response->code) {
                coap_delete_pdu(pdu);
                return false;
        }
        burst->v[burst->n++] = (struct waiting){ m->session, pdu };
        return true;
}

/*
 * A value asks for its block, and with the bit M for those behind it in its set, too (RFC 9177, 4.4). `smaller`: what
 * is sent has blocks of that many bits less than what was asked for.
 */
static void add_all(struct qblock_burst *burst, struct message *m, const struct response *response,
                    const struct qblock_values *values, const coap_pdu_t *first, uint32_t sent,
                    unsigned smaller)
{
        uint32_t next = sent + 1;
        unsigned left = MAX_PAYLOADS - 1;

        for (size_t i = 0; i < values->n_q_block2; i++) {
                uint32_t num = (values->q_block2[i] >> 4) << smaller;
                bool rest_of_set = values->q_block2[i] >> 3 & 1;
                uint32_t end = rest_of_set ? (num / MAX_PAYLOADS + 1) * MAX_PAYLOADS : num + 1;

                for (num = MAX(num, next); num < end && left > 0; num++, left--)
                        if (!add_block(burst, m, response, first, num))
                                return;
                next = MAX(next, end);
        }
}

bool qblock_burst_add(struct qblock_burst *burst, const struct message *message,
                      const struct response *response, const struct qblock_values *values,
                      const coap_pdu_t *first)
{
        struct message m = *message;
        coap_block_b_t sent;

        /* To an address that has proved nothing: that one block. */
        if (m.most || (uint8_t)coap_pdu_get_code(first) != CODE_CONTENT || !response->content ||
            message_silences(&m, CODE_CONTENT) ||
            !coap_get_block_b(m.session, first, COAP_OPTION_Q_BLOCK2, &sent))
                return burst->n > 0;
        m.has_echo = false;
        m.block2.szx = m.block2.aszx = sent.szx;
        add_all(burst, &m, response, values, first, sent.num, message->block2.szx - sent.szx);
        return burst->n > 0;
}

/* A session may end by what is sent to it. */
void qblock_burst_send(struct qblock_burst *burst)
{
        for (size_t i = 0; i < burst->n; i++) {
                coap_pdu_t *pdu = TAKE(burst->v[i].pdu);

                if (pdu)
                        coap_send(burst->v[i].session, pdu);
        }
        burst->n = 0;
}

void qblock_burst_forget(struct qblock_burst *burst, const coap_session_t *session)
{
        for (size_t i = 0; i < burst->n; i++)
                if (burst->v[i].session == session)
                        coap_delete_pdu(TAKE(burst->v[i].pdu));
}
