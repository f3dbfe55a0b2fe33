/* SPDX-License-Identifier: BSD-2-Clause */
/* The options taken out of datagrams; see qblock.h. */
#include "resources/qblock.h"

#include "base/coap_options.h"
#include "base/util.h"

enum { ONE_BYTE = 13, TWO_BYTES = 14, TWO_BYTES_FROM = 269, BLOCK_MOST = 3, SZX_RESERVED = 7 };

static bool is_request(struct span datagram)
{
        enum { VERSION = 1, FIRST = METHOD_GET, LAST = METHOD_IPATCH };

        return datagram.n > COAP_HEADER_SIZE && datagram.p[0] >> 6 == VERSION && datagram.p[1] >= FIRST &&
               datagram.p[1] <= LAST;
}

/* RFC 9177, 4.4: the numbers increase; and they are of blocks of one size. */
static bool follows(uint32_t last, uint32_t block)
{
        return last >> 4 < block >> 4 && (last & 7) == (block & 7);
}

/* One of the two. False: it is malformed. */
static bool note(struct qblock_values *values, unsigned number, struct span value)
{
        uint32_t block = coap_decode_var_bytes(value.p, value.n);

        if (value.n > BLOCK_MOST || (block & 7) == SZX_RESERVED)
                return false;
        if (number == COAP_OPTION_Q_BLOCK2) {
                if (values->n_q_block2 > 0)
                        values->disorder |= !follows(values->last, block);
                values->last = block;
                if (values->n_q_block2 < MAX_PAYLOADS)
                        values->q_block2[values->n_q_block2++] = block;
                return true;
        }
        if (values->has_q_block1)
                return false;
        values->has_q_block1 = true;
        values->q_block1 = block;
        return true;
}

/* Reads the values. False: there are none, or the message is to stay as it is. */
static bool look(struct qblock_values *values, struct span datagram)
{
        struct coap_options options;
        struct span value;

        if (!coap_options_begin(datagram, &options))
                return false;
        while (coap_options_next(&options, &value)) {
                switch (options.number) {
                case COAP_OPTION_Q_BLOCK1:
                case COAP_OPTION_Q_BLOCK2:
                        if (!note(values, options.number, value))
                                return false;
                        break;
                case COAP_OPTION_OSCORE:
                        return false;
                case COAP_OPTION_BLOCK1:
                case COAP_OPTION_BLOCK2:
                        values->mixed = true;
                        break;
                default:
                        break;
                }
        }
        return (options.rest.n == 0 || options.rest.p[0] == 0xff) &&
               (values->has_q_block1 || values->n_q_block2 > 0);
}

static uint8_t *write_extended(uint8_t *to, unsigned number)
{
        if (number >= TWO_BYTES_FROM) {
                *to++ = (uint8_t)((number - TWO_BYTES_FROM) >> 8);
                *to++ = (uint8_t)(number - TWO_BYTES_FROM);
        } else if (number >= ONE_BYTE) {
                *to++ = (uint8_t)(number - ONE_BYTE);
        }
        return to;
}

static unsigned nibble_of(unsigned number)
{
        return number < ONE_BYTE ? number : number < TWO_BYTES_FROM ? ONE_BYTE : TWO_BYTES;
}

/*
 * Writes the others again, one behind the other. A delta that takes up that of an option before it needs at most as
 * many bytes as both had, so that nothing is written where it was not read yet.
 */
static size_t rewrite(uint8_t *bytes, size_t n)
{
        struct coap_options options;
        unsigned last = 0;
        struct span value;
        uint8_t *to;

        if (!coap_options_begin(span_of(bytes, n), &options))
                return n;
        to = bytes + (options.rest.p - bytes);
        while (coap_options_next(&options, &value)) {
                unsigned delta = options.number - last;

                if (options.number == COAP_OPTION_Q_BLOCK1 || options.number == COAP_OPTION_Q_BLOCK2)
                        continue;
                *to++ = (uint8_t)(nibble_of(delta) << 4 | nibble_of((unsigned)value.n));
                to = write_extended(to, delta);
                to = write_extended(to, (unsigned)value.n);
                if (value.n > 0)
                        memmove(to, value.p, value.n);
                to += value.n;
                last = options.number;
        }
        if (options.rest.n > 0)
                memmove(to, options.rest.p, options.rest.n);
        return (size_t)(to - bytes) + options.rest.n;
}

void qblock_take_out(struct qblock_values *values, const struct msghdr *message, size_t *n)
{
        uint8_t *bytes = message->msg_iov[0].iov_base;
        struct span datagram = span_of(bytes, *n);
        unsigned token_length;

        *values = (struct qblock_values){ 0 };
        if (!is_request(datagram) || !look(values, datagram))
                return;
        token_length = bytes[0] & 15;
        if (token_length > sizeof values->token || message->msg_namelen > sizeof values->peer.addr)
                return;
        values->any = true;
        values->mid = (uint16_t)(bytes[2] << 8 | bytes[3]);
        values->token_length = (uint8_t)token_length;
        memcpy(values->token, bytes + COAP_HEADER_SIZE, token_length);
        coap_address_init(&values->peer);
        values->peer.size = message->msg_namelen;
        memcpy(&values->peer.addr, message->msg_name, message->msg_namelen);
        *n = rewrite(bytes, *n);
}

static bool is_of(const struct qblock_values *values, const struct message *m)
{
        const coap_address_t *peer = coap_session_get_addr_remote(m->session);

        return coap_session_get_proto(m->session) == COAP_PROTO_UDP && peer &&
               coap_pdu_get_mid(m->pdu) == values->mid && m->token.length == values->token_length &&
               (m->token.length == 0 || memcmp(m->token.s, values->token, m->token.length) == 0) &&
               coap_address_equals(peer, &values->peer);
}

static coap_block_b_t block_of(uint32_t value)
{
        return (coap_block_b_t){
                .num = value >> 4, .m = value >> 3 & 1, .szx = value & 7, .aszx = value & 7, .defined = 1
        };
}

/* What RFC 9177 has no answer to but an error, or none. */
static bool refuse(const struct qblock_values *values, const struct message *m, struct response *response)
{
        if (coap_is_mcast(coap_session_get_addr_local(m->session))) {
                response->later = true; /* 4.4: it is ignored */
                return true;
        }
        if (values->mixed) /* 4.1 */
                response_error(response, CODE_BAD_OPTION, "Q-Block and Block are not to be mixed");
        else if (values->disorder) /* 4.4 */
                response_error(response, CODE_BAD_REQUEST,
                               "the blocks are to be asked for in order, each once");
        else if (!message_is_safe(m) && (values->n_q_block2 > 1 || values->q_block2[0] >> 4 > 0))
                response_error(response, CODE_INCOMPLETE, "the answer is not here any more: start again");
        else
                return false;
        return true;
}

bool qblock_give_back(struct qblock_values *values, struct message *m, struct response *response)
{
        if (!values->any)
                return true;
        values->any = false;
        if (!is_of(values, m))
                return true;
        if (refuse(values, m, response))
                return false;
        if (values->has_q_block1) {
                m->has_block1 = m->q_block1 = true;
                m->block1 = block_of(values->q_block1);
                m->operation = message_operation(m->pdu);
        }
        if (values->n_q_block2 > 0 && message_is_safe(m)) {
                m->has_block2 = m->q_block2 = true;
                m->block2 = block_of(values->q_block2[0]);
        }
        return true;
}
