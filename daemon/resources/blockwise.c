/* SPDX-License-Identifier: BSD-2-Clause */
/* Block1 assembly; see blockwise.h. */
#include "resources/blockwise.h"

#include "resources/blockwise_internal.h"

/* A retransmission: these very bytes are in the body already. */
static bool came_before(const struct transfer *t, const struct message *m, uint64_t offset)
{
        struct span data = m->request.body;

        return m->block1.m && t->content_format == m->request.content_format &&
               offset + data.n <= t->body.n && memcmp(t->body.p + offset, data.p, data.n) == 0;
}

/* RFC 7959, 2.3: only the last block may be shorter than its size says; BERT blocks are a multiple of 1024. */
static bool length_fits(const coap_block_b_t *block, size_t n)
{
        size_t unit = (size_t)1 << (block->szx + 4);

        if (block->bert)
                return !block->m || (n > 0 && n % unit == 0);
        return block->m ? n == unit : n <= unit;
}

uint8_t blockwise_take(struct blockwise *b, struct message *m, size_t max_body, struct response *response)
{
        const coap_block_b_t *block = &m->block1;
        uint64_t offset = (uint64_t)block->num << (block->szx + 4);
        struct span data = m->request.body;
        struct transfer *t;

        if (!length_fits(block, data.n)) {
                response_error(response, CODE_BAD_REQUEST, "the payload does not fill its block");
                return response->code;
        }
        if (m->size1 > max_body || offset + data.n > max_body)
                return transfer_refuse_size(response, max_body);
        if (block->num == 0 && !block->m)
                return 0;

        t = transfer_find(b, m);
        if (t && block->num > 0 && came_before(t, m, offset))
                return CODE_CONTINUE; /* the 2.31 to it was lost */
        if (t && block->num == 0) {   /* the client starts anew, or the 2.31 was lost: that is the same */
                transfer_drop(b, t);
                t = NULL;
        }
        if (block->num == 0)
                t = transfer_begin(b, m);
        if (!t && block->num == 0)
                return transfer_refuse_memory(response);
        if (!t || offset != t->body.n || t->content_format != m->request.content_format) {
                if (t)
                        transfer_drop(b, t);
                response_error(response, CODE_INCOMPLETE, "a block before this one is missing: start again");
                return response->code;
        }
        transfer_touch(b, t);
        if (!transfer_keep(b, t, offset, data)) {
                transfer_drop(b, t);
                return transfer_refuse_memory(response);
        }
        if (block->m)
                return CODE_CONTINUE;
        transfer_hand_over(b, t, m);
        transfer_drop(b, t);
        return 0;
}
