/* SPDX-License-Identifier: BSD-2-Clause */
/* Responses written into PDUs; see message.h. */
#include "resources/message.h"

#include <errno.h>

#include "base/content_format.h"
#include "base/log.h"

/* RFC 9290, 2: concise problem details. */
enum { PROBLEM_DETAIL_KEY = -2 };

/* The largest block is 1024 bytes (RFC 7959, 2.2), of a body that goes in one piece over UDP too. */
enum { MAX_BLOCK = 1024, MAX_BLOCK_SZX = 6, MAX_BERT = 64 * 1024 };

static void add_uint(coap_pdu_t *pdu, coap_option_num_t number, uint32_t value)
{
        uint8_t encoded[4];

        coap_add_option(pdu, number, coap_encode_var_safe(encoded, sizeof encoded, value), encoded);
}

static bool problem_details_wanted(const struct message *message)
{
        return message->request.accept == CONTENT_FORMAT_PROBLEM_DETAILS;
}

/* {-2: "diagnostic"}: the key -2 is `detail`. The text is shorter than 256 bytes. */
static void add_problem_details(coap_pdu_t *pdu, struct span text)
{
        uint8_t cbor[4 + sizeof((struct response *)0)->text] = { 0xa1, 0x21, 0x78, (uint8_t)text.n };

        memcpy(cbor + 4, text.p, text.n);
        add_uint(pdu, COAP_OPTION_CONTENT_FORMAT, CONTENT_FORMAT_PROBLEM_DETAILS);
        coap_add_data(pdu, 4 + text.n, cbor);
}

static void add_diagnostic(const struct message *message, const struct response *response, coap_pdu_t *pdu)
{
        struct span text = span_of_string(response->diagnostic);

        if (text.n == 0)
                return;
        text.n = MIN(text.n, sizeof response->text);
        if (problem_details_wanted(message))
                add_problem_details(pdu, text);
        else
                coap_add_data(pdu, text.n, text.p);
}

static int add_slice(coap_pdu_t *pdu, const struct representation *rep, uint64_t offset, size_t n)
{
        /* Read before room is made in the PDU: a read that fails leaves nothing there. */
        uint8_t piece[MAX_BERT];
        ssize_t got;

        if (n == 0)
                return 0;
        if (rep->data)
                return coap_add_data(pdu, n, rep->data + offset) ? 0 : -ENOMEM;
        if (n > sizeof piece)
                return -EMSGSIZE;
        got = rep->read(rep, offset, piece, n);
        if (got != (ssize_t)n)
                return got < 0 ? (int)got : -EIO;
        return coap_add_data(pdu, n, piece) ? 0 : -ENOMEM;
}

/* Bytes that fit behind the options, with room for the Block2 and Size2 options and the payload marker. */
static size_t room_for_body(const struct message *message, size_t options)
{
        enum { RESERVE = 16 };
        size_t max = coap_session_max_pdu_size(message->session);

        if (message->most)
                max = MIN(max, message->most);
        return max > options + RESERVE ? max - options - RESERVE : 0;
}

/* How many bytes the options written so far take, at most. */
static size_t option_bytes(const struct message *message)
{
        return message->token.length + 64;
}

static void add_echo(const struct message *message, coap_pdu_t *pdu)
{
        if (message->has_echo)
                coap_add_option(pdu, COAP_OPTION_ECHO, sizeof message->echo, message->echo);
}

/* The same place in smaller blocks, as long as there are not more of them than there may be. */
static void fit_block(coap_block_b_t *block, uint64_t size, size_t room)
{
        enum { BLOCKS_MOST = 1 << 20 };

        while (block->szx > 0 && (16U << block->szx) > room && size >> (block->szx + 3) < BLOCKS_MOST) {
                block->szx--;
                block->num <<= 1;
        }
        block->aszx = block->szx;
}

/*
 * RFC 8323, 6: as many times 1024 bytes as the message can have. libcoap would not stop at what one read of a file
 * gives.
 */
static bool write_bert(size_t room, uint64_t size, coap_block_b_t *block, coap_pdu_t *pdu)
{
        uint64_t left = size - ((uint64_t)block->num << (block->szx + 4));

        block->chunk_size = (uint32_t)(MIN(room, (size_t)MAX_BERT) / MAX_BLOCK * MAX_BLOCK);
        if (block->chunk_size == 0)
                return false;
        add_uint(pdu, COAP_OPTION_BLOCK2,
                 block->num << 4 | (uint32_t)(left > block->chunk_size) << 3 | block->aszx);
        return true;
}

static bool write_block2(const struct message *message, uint64_t size, coap_block_b_t *block, coap_pdu_t *pdu)
{
        coap_option_num_t number = message->q_block2 ? COAP_OPTION_Q_BLOCK2 : COAP_OPTION_BLOCK2;

        if (block->bert && write_bert(room_for_body(message, option_bytes(message)), size, block, pdu))
                return true;
        return coap_write_block_b_opt(message->session, block, number, pdu, (size_t)size) == 1;
}

static int add_block(const struct message *message, const struct representation *rep, coap_pdu_t *pdu)
{
        coap_block_b_t block = message->block2;
        uint64_t offset;
        size_t n;

        if (!message->has_block2)
                block = (coap_block_b_t){ .szx = MAX_BLOCK_SZX, .aszx = MAX_BLOCK_SZX, .defined = 1 };
        if (rep->size > UINT32_MAX)
                return -EFBIG;
        if (message->most)
                fit_block(&block, rep->size, room_for_body(message, option_bytes(message)));
        if (block.num == 0 || message->q_block2) /* any of these may be the first to arrive */
                add_uint(pdu, COAP_OPTION_SIZE2, (uint32_t)rep->size);
        if (!write_block2(message, rep->size, &block, pdu))
                return -EMSGSIZE;
        add_echo(message, pdu);
        offset = (uint64_t)block.num << (block.szx + 4);
        n = (size_t)MIN(rep->size - offset, (uint64_t)block.chunk_size);
        return add_slice(pdu, rep, offset, n);
}

static int add_body(const struct message *message, const struct representation *rep, coap_pdu_t *pdu)
{
        size_t room = room_for_body(message, option_bytes(message));
        bool reliable = COAP_PROTO_RELIABLE(coap_session_get_proto(message->session));
        uint64_t whole = reliable ? MIN(room, (size_t)MAX_BERT) : MIN(room, (size_t)MAX_BLOCK);

        if (message->has_block2 || rep->size > whole)
                return add_block(message, rep, pdu);
        if (message->wants_size2)
                add_uint(pdu, COAP_OPTION_SIZE2, (uint32_t)rep->size);
        return add_slice(pdu, rep, 0, (size_t)rep->size);
}

static void add_location(const struct message *message, struct span location, coap_pdu_t *pdu)
{
        coap_opt_iterator_t iterator;
        coap_opt_filter_t only_path;
        coap_opt_t *option;

        coap_option_filter_clear(&only_path);
        coap_option_filter_set(&only_path, COAP_OPTION_URI_PATH);
        coap_option_iterator_init(message->pdu, &iterator, &only_path);
        while ((option = coap_option_next(&iterator)))
                if (coap_opt_length(option) > 0)
                        coap_add_option(pdu, COAP_OPTION_LOCATION_PATH, coap_opt_length(option),
                                        coap_opt_value(option));
        coap_add_option(pdu, COAP_OPTION_LOCATION_PATH, location.n, location.p);
}

static uint8_t add_content(const struct message *message, const struct response *response, coap_pdu_t *pdu)
{
        const struct representation *rep = response->content;
        int r;

        if (rep->content_format >= 0)
                add_uint(pdu, COAP_OPTION_CONTENT_FORMAT, (uint32_t)rep->content_format);
        if (response->max_age >= 0)
                add_uint(pdu, COAP_OPTION_MAXAGE, (uint32_t)MIN(response->max_age, (int64_t)UINT32_MAX));
        r = add_body(message, rep, pdu);
        if (r == 0)
                return response->code;
        if (r == -EAGAIN) /* it changed under our hands */
                return CODE_UNAVAILABLE;
        LOG_RARELY(LOG_WARNING, NULL, "response body of %llu bytes: %s", (unsigned long long)rep->size,
                   strerror(-r));
        return CODE_INTERNAL_ERROR;
}

/* See struct response. */
static void add_options(struct span options, coap_pdu_t *pdu)
{
        enum { HEAD = 4 };

        while (options.n >= HEAD) {
                unsigned number = (unsigned)options.p[0] << 8 | options.p[1];
                size_t length = (size_t)options.p[2] << 8 | options.p[3];

                if (options.n - HEAD < length)
                        return;
                coap_add_option(pdu, (coap_option_num_t)number, length, options.p + HEAD);
                options = span_skip(options, HEAD + length);
        }
}

static void add_block1(const struct message *message, const struct response *response, coap_pdu_t *pdu)
{
        coap_block_b_t block = message->block1;
        bool more = response->code == CODE_CONTINUE;

        if (message->q_block1 && !more)
                return;
        add_uint(pdu, message->q_block1 ? COAP_OPTION_Q_BLOCK1 : COAP_OPTION_BLOCK1,
                 block.num << 4 | (uint32_t)more << 3 | block.aszx);
}

/* By any answer with this option a client knows that it is understood (RFC 9177, 3.1). */
static void add_q_block2(const struct message *message, coap_pdu_t *pdu)
{
        if (message->q_block2)
                add_uint(pdu, COAP_OPTION_Q_BLOCK2, message->block2.num << 4 | message->block2.szx);
}

static bool ends_before_block(const struct representation *rep, const struct message *message)
{
        const coap_block_b_t *block = &message->block2;

        return message->has_block2 && block->num && (uint64_t)block->num << (block->szx + 4) >= rep->size;
}

uint8_t message_respond(const struct message *message, const struct response *response, coap_pdu_t *pdu)
{
        struct response no_block = { .max_age = -1 };
        uint8_t code = response->code ? response->code : CODE_INTERNAL_ERROR;
        bool content =
                response->content && (code == CODE_CONTENT || code == CODE_VALID || response->with_content);

        if (content && code != CODE_VALID && ends_before_block(response->content, message)) {
                response_error(&no_block, CODE_BAD_REQUEST, "it ends before this block");
                return message_respond(message, &no_block, pdu);
        }
        coap_pdu_set_code(pdu, (coap_pdu_code_t)code);
        if (response->content && response->content->etag.n && code >> 5 == 2)
                coap_add_option(pdu, COAP_OPTION_ETAG, response->content->etag.n, response->content->etag.b);
        if (response->location.n)
                add_location(message, response->location, pdu);
        add_options(response->options, pdu);
        if (message->has_block1)
                add_block1(message, response, pdu);
        if (response->size1)
                add_uint(pdu, COAP_OPTION_SIZE1, response->size1);
        if (content && code == CODE_VALID) {
                if (response->max_age >= 0)
                        add_uint(pdu, COAP_OPTION_MAXAGE, (uint32_t)response->max_age);
                add_q_block2(message, pdu);
        } else if (content) {
                code = add_content(message, response, pdu);
                coap_pdu_set_code(pdu, (coap_pdu_code_t)code);
        } else {
                add_q_block2(message, pdu);
                if (response->max_age >= 0 && code >> 5 > 2)
                        add_uint(pdu, COAP_OPTION_MAXAGE, (uint32_t)response->max_age);
                add_echo(message, pdu);
                add_diagnostic(message, response, pdu);
        }
        return code;
}
