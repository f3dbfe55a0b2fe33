/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests read from PDUs; see message.h. The way back is in respond.c. */
#include "resources/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checksum.h"
#include "resources/client_address.h"

void response_error(struct response *response, uint8_t code, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(response->text, sizeof response->text, fmt, ap);
        va_end(ap);
        response->code = code;
        response->diagnostic = response->text;
        representation_unref(TAKE(response->content));
}

void response_refused_by_store(struct response *response, int error)
{
        enum { RETRY_AFTER_S = 30 };

        if (error == -ENOSPC || error == -EDQUOT)
                response_error(response, CODE_UNAVAILABLE, "the store is full; nothing was changed");
        else if (error == -EAGAIN)
                response_error(response, CODE_UNAVAILABLE, "the store is locked; nothing was changed");
        else
                response_error(response, CODE_INTERNAL_ERROR, "the store failed; nothing was changed");
        response->max_age = response->code == CODE_UNAVAILABLE ? RETRY_AFTER_S : -1;
}

bool request_query(const struct request *request, const char *name, struct span *ret_value)
{
        struct span wanted = span_of_string(name);

        for (size_t i = 0; i < request->n_queries; i++) {
                struct span query = request->queries[i];

                if (!span_starts_with(query, wanted))
                        continue;
                if (query.n > wanted.n && query.p[wanted.n] != '=')
                        continue;
                *ret_value = span_skip(query, wanted.n + 1);
                return true;
        }
        return false;
}

bool etag_list_has(const struct etag_list *list, const struct etag *etag)
{
        for (size_t i = 0; i < list->n; i++)
                if (etag_equal(&list->v[i], etag))
                        return true;
        return false;
}

static void etag_list_add(struct etag_list *list, struct span value)
{
        struct etag *etag;

        if (value.n == 0) {
                list->any = true;
                return;
        }
        /* Tags beyond the list are left out: a request loses an optimisation, or a match it claimed eightfold. */
        if (list->n == MAX_ETAGS || value.n > ETAG_MAX)
                return;
        etag = &list->v[list->n++];
        etag->n = (uint8_t)value.n;
        memcpy(etag->b, value.p, value.n);
}

static uint32_t uint_option(struct span value)
{
        return coap_decode_var_bytes(value.p, value.n);
}

/* Returns whether the option was in order. */
static bool parse_option(struct message *m, coap_option_num_t number, struct span value)
{
        struct request *request = &m->request;

        switch (number) {
        case COAP_OPTION_URI_QUERY:
                if (request->n_queries == MAX_QUERIES)
                        return false;
                request->queries[request->n_queries++] = value;
                return true;
        case COAP_OPTION_CONTENT_FORMAT:
                request->content_format = (int)uint_option(value);
                return value.n <= 2;
        case COAP_OPTION_ACCEPT:
                request->accept = (int)uint_option(value);
                return value.n <= 2;
        case COAP_OPTION_OBSERVE:
                request->observe = uint_option(value) == COAP_OBSERVE_ESTABLISH;
                return true;
        case COAP_OPTION_ETAG:
                etag_list_add(&m->etags, value);
                return true;
        case COAP_OPTION_IF_MATCH:
                etag_list_add(&m->if_match, value);
                return true;
        case COAP_OPTION_IF_NONE_MATCH:
                m->if_none_match = true;
                return true;
        case COAP_OPTION_SIZE1:
                m->size1 = uint_option(value);
                return true;
        case COAP_OPTION_SIZE2:
                m->wants_size2 = true;
                return true;
        case COAP_OPTION_BLOCK1:
                m->has_block1 = true;
                return true;
        case COAP_OPTION_BLOCK2:
                m->has_block2 = true;
                return true;
        case COAP_OPTION_RTAG:
                m->request_tag = value;
                return value.n <= 8;
        default:
                return true;
        }
}

/*
 * RFC 7959, 2.2: the size exponent 7 is reserved (but for BERT, RFC 8323, 6). Returns whether those that are there
 * are in order. libcoap searches the message for each anew, which few messages have: so it is asked only then.
 */
static bool parse_blocks(struct message *m)
{
        if (m->has_block1 && !coap_get_block_b(m->session, m->pdu, COAP_OPTION_BLOCK1, &m->block1))
                return false;
        return !m->has_block2 || coap_get_block_b(m->session, m->pdu, COAP_OPTION_BLOCK2, &m->block2);
}

/*
 * RFC 9175, 3.3: what is to be done stands in critical options, of which those of the blocks themselves differ. It need
 * not be hard to forge: who can, can repeat the options.
 */
uint64_t message_operation(const coap_pdu_t *pdu)
{
        uint64_t hash = 0;
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                coap_option_num_t number = iterator.number;

                if (!(number & 1) || number == COAP_OPTION_BLOCK1 || number == COAP_OPTION_BLOCK2 ||
                    number == COAP_OPTION_Q_BLOCK1 || number == COAP_OPTION_Q_BLOCK2)
                        continue;
                hash = checksum_word(hash, number);
                hash = checksum_span(hash, span_of(coap_opt_value(option), coap_opt_length(option)));
        }
        return hash;
}

uint8_t message_parse(coap_session_t *session, const coap_pdu_t *pdu, struct span path,
                      struct message *message, struct response *response)
{
        const coap_address_t *peer = coap_session_get_addr_remote(session);
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data;
        size_t length;

        *message = (struct message){
                .request = {
                        .method = (enum method)coap_pdu_get_code(pdu),
                        .path = path,
                        .content_format = -1,
                        .accept = -1,
                },
                .session = session,
                .address = peer ? client_address(peer) : 0,
                .pdu = pdu,
                .token = coap_pdu_get_token(pdu),
        };
        message->request.message = message;
        coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };

                if (!parse_option(message, iterator.number, value)) {
                        response_error(response, CODE_BAD_OPTION, "option %u is malformed or too many",
                                       (unsigned)iterator.number);
                        return response->code;
                }
        }
        if (!parse_blocks(message)) {
                response_error(response, CODE_BAD_REQUEST, "there is no such block size");
                return response->code;
        }
        if (message->has_block1)
                message->operation = message_operation(pdu);
        if (coap_get_data(pdu, &length, &data))
                message->request.body = span_of(data, length);
        message->datagram_body = message->request.body.n;
        return 0;
}

bool message_is_safe(const struct message *message)
{
        return message->request.method == METHOD_GET || message->request.method == METHOD_FETCH;
}

bool message_silences(const struct message *message, uint8_t code)
{
        const coap_opt_t *option = message_option(message->pdu, COAP_OPTION_NORESPONSE);
        unsigned classes =
                option ? coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option)) : 0;

        return classes >> ((code >> 5) - 1) & 1;
}

coap_opt_t *message_option(const coap_pdu_t *pdu, coap_option_num_t number)
{
        coap_opt_iterator_t iterator;

        return coap_check_option(pdu, number, &iterator);
}

coap_pdu_t *message_copy_with(const coap_pdu_t *pdu, size_t size, coap_option_num_t number, uint32_t value)
{
        enum { MORE = 16 }; /* than it had */
        coap_bin_const_t token = coap_pdu_get_token(pdu);
        coap_pdu_t *copy = coap_pdu_init(coap_pdu_get_type(pdu), coap_pdu_get_code(pdu),
                                         coap_pdu_get_mid(pdu), size + MORE);
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data;
        uint8_t encoded[4];
        unsigned n_encoded = coap_encode_var_safe(encoded, sizeof encoded, value);
        bool whole = copy && coap_add_token(copy, token.length, token.s);
        size_t n;

        coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
        while (whole && (option = coap_option_next(&iterator)))
                whole = iterator.number == number
                                ? coap_add_option(copy, number, n_encoded, encoded)
                                : coap_add_option(copy, iterator.number, coap_opt_length(option),
                                                  coap_opt_value(option));
        if (whole && coap_get_data(pdu, &n, &data))
                whole = coap_add_data(copy, n, data);
        if (whole)
                return copy;
        coap_delete_pdu(copy);
        return NULL;
}

static void encode_header(const coap_pdu_t *pdu, struct buf *out)
{
        enum { VERSION = 1, ONE_BYTE = 13, TWO_BYTES = 14, TWO_BYTES_FROM = 269 };
        coap_bin_const_t token = coap_pdu_get_token(pdu);
        unsigned mid = (unsigned)coap_pdu_get_mid(pdu);
        size_t nibble = token.length < ONE_BYTE         ? token.length
                        : token.length < TWO_BYTES_FROM ? ONE_BYTE
                                                        : TWO_BYTES;

        buf_append_byte(out, (uint8_t)(VERSION << 6 | (unsigned)coap_pdu_get_type(pdu) << 4 | nibble));
        buf_append_byte(out, (uint8_t)coap_pdu_get_code(pdu));
        buf_append_byte(out, (uint8_t)(mid >> 8));
        buf_append_byte(out, (uint8_t)mid);
        if (nibble == ONE_BYTE)
                buf_append_byte(out, (uint8_t)(token.length - ONE_BYTE));
        if (nibble == TWO_BYTES) {
                buf_append_byte(out, (uint8_t)((token.length - TWO_BYTES_FROM) >> 8));
                buf_append_byte(out, (uint8_t)(token.length - TWO_BYTES_FROM));
        }
        buf_append(out, token.s, token.length);
}

void message_encode(const coap_pdu_t *pdu, struct buf *out)
{
        enum { OPTION_HEADER = 5, PAYLOAD_MARKER = 0xff };
        coap_opt_iterator_t iterator;
        coap_option_num_t last = 0;
        coap_opt_t *option;
        const uint8_t *data;
        size_t n;

        encode_header(pdu, out);
        coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                size_t length = coap_opt_length(option);
                uint8_t *room = buf_reserve(out, OPTION_HEADER + length);

                if (!room)
                        return;
                out->n += coap_opt_encode(room, OPTION_HEADER + length, (uint16_t)(iterator.number - last),
                                          coap_opt_value(option), length);
                last = iterator.number;
        }
        if (coap_get_data(pdu, &n, &data) && n > 0) {
                buf_append_byte(out, PAYLOAD_MARKER);
                buf_append(out, data, n);
        }
}
