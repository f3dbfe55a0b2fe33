/* SPDX-License-Identifier: BSD-2-Clause */
/* Representations on their way out; see outgoing.h. */
#include "resources/outgoing.h"

#include <errno.h>

enum { MOST = 64, MOST_BYTES = 16 * 1024 * 1024, UNASKED_BLOCK = 1024 };

struct transfer {
        const struct resource *resource; /* NULL: free */
        const coap_session_t *session;
        uint64_t began;
        struct buf key;
        struct representation *content;
        int64_t max_age;
        uint8_t code;
};

struct outgoing {
        struct transfer v[MOST];
        uint64_t begun; /* so far */
        uint64_t bytes; /* of all contents */
};

int outgoing_new(struct outgoing **ret_outgoing)
{
        struct outgoing *outgoing = calloc(1, sizeof *outgoing);

        if (!outgoing)
                return -ENOMEM;
        *ret_outgoing = outgoing;
        return 0;
}

static void end(struct outgoing *outgoing, struct transfer *transfer)
{
        if (!transfer->resource)
                return;
        outgoing->bytes -= transfer->content->size;
        representation_unref(transfer->content);
        buf_deinit(&transfer->key);
        *transfer = (struct transfer){ .resource = NULL };
}

void outgoing_free(struct outgoing *outgoing)
{
        if (!outgoing)
                return;
        for (size_t i = 0; i < MOST; i++)
                end(outgoing, &outgoing->v[i]);
        free(outgoing);
}

/* What tells the representations of one resource apart: the cache key of RFC 7252, 5.6, as far as kinds look at it. */
static void write_key(const struct message *message, struct buf *out)
{
        const struct request *request = &message->request;

        buf_append(out, &message->sender, sizeof message->sender);
        buf_printf(out, "%d %d/", (int)request->method, request->accept);
        buf_append_span(out, request->rest);
        for (size_t i = 0; i < request->n_queries; i++) {
                buf_append_byte(out, '&');
                buf_append_span(out, request->queries[i]);
        }
}

static struct transfer *find(struct outgoing *outgoing, const struct resource *resource,
                             const struct message *message, struct span key)
{
        for (size_t i = 0; i < MOST; i++) {
                struct transfer *transfer = &outgoing->v[i];

                if (transfer->resource == resource && transfer->session == message->session &&
                    span_equal(buf_span(&transfer->key), key))
                        return transfer;
        }
        return NULL;
}

static struct transfer *find_oldest(struct outgoing *outgoing)
{
        struct transfer *oldest = NULL;

        for (size_t i = 0; i < MOST; i++)
                if (outgoing->v[i].resource && (!oldest || outgoing->v[i].began < oldest->began))
                        oldest = &outgoing->v[i];
        return oldest;
}

/* A free place for a content of so many bytes. */
static struct transfer *make_room(struct outgoing *outgoing, uint64_t bytes)
{
        struct transfer *oldest;

        while (outgoing->bytes + bytes > MOST_BYTES && (oldest = find_oldest(outgoing)))
                end(outgoing, oldest);
        for (size_t i = 0; i < MOST; i++)
                if (!outgoing->v[i].resource)
                        return &outgoing->v[i];
        oldest = find_oldest(outgoing);
        end(outgoing, oldest);
        return oldest;
}

void outgoing_keep(struct outgoing *outgoing, const struct resource *resource, const struct message *message,
                   const struct response *response)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        uint64_t block = message->has_block2 ? 1U << (message->block2.szx + 4) : UNASKED_BLOCK;
        uint64_t size = response->content->size;
        struct transfer *transfer;

        write_key(message, &key);
        if (!buf_ok(&key))
                return;
        transfer = find(outgoing, resource, message, buf_span(&key));
        if (transfer)
                end(outgoing, transfer);
        /* What is read piece by piece sees to its changes by itself. */
        if (size <= block || size > MOST_BYTES || !response->content->data)
                return;
        transfer = make_room(outgoing, size);
        *transfer = (struct transfer){
                .resource = resource,
                .session = message->session,
                .began = ++outgoing->begun,
                .key = key,
                .content = representation_ref(response->content),
                .max_age = response->max_age,
                .code = response->code,
        };
        key = (struct buf){ 0 };
        outgoing->bytes += size;
}

bool outgoing_answer(struct outgoing *outgoing, const struct resource *resource,
                     const struct message *message, struct response *response)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        struct transfer *transfer;

        write_key(message, &key);
        transfer = buf_ok(&key) ? find(outgoing, resource, message, buf_span(&key)) : NULL;
        if (!transfer)
                return false;
        response->code = transfer->code;
        response->with_content = true;
        response->content = representation_ref(transfer->content);
        response->max_age = transfer->max_age;
        return true;
}

void outgoing_forget_session(struct outgoing *outgoing, const coap_session_t *session)
{
        for (size_t i = 0; i < MOST; i++)
                if (outgoing->v[i].session == session)
                        end(outgoing, &outgoing->v[i]);
}

void outgoing_forget_resource(struct outgoing *outgoing, const struct resource *resource)
{
        for (size_t i = 0; i < MOST; i++)
                if (outgoing->v[i].resource == resource)
                        end(outgoing, &outgoing->v[i]);
}
