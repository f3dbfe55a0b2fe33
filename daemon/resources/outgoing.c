/* SPDX-License-Identifier: BSD-2-Clause */
/* Representations on their way out; see outgoing.h. */
#include "resources/outgoing.h"

#include <errno.h>

#include "resources/clients.h"

enum { MOST = 64, MOST_BYTES = 16 * 1024 * 1024, UNASKED_BLOCK = 1024, UNPROVED_BLOCK = 64 };

struct transfer {
        const struct resource *resource; /* NULL: free */
        const coap_session_t *session;
        uint64_t address;
        uint64_t began;
        struct buf key;
        struct representation *content;
        int64_t max_age;
        uint8_t code;
};

struct table {
        struct transfer v[MOST];
        uint64_t bytes; /* of all contents */
};

/* Addresses that are not proved can be forged, as many as one likes: they have a table of their own. */
enum { UNPROVED, PROVED, N_TABLES };

struct outgoing {
        struct table tables[N_TABLES];
        uint64_t begun; /* so far */
};

int outgoing_new(struct outgoing **ret_outgoing)
{
        struct outgoing *outgoing = calloc(1, sizeof *outgoing);

        if (!outgoing)
                return -ENOMEM;
        *ret_outgoing = outgoing;
        return 0;
}

static void end(struct table *table, struct transfer *transfer)
{
        if (!transfer->resource)
                return;
        table->bytes -= transfer->content->size;
        representation_unref(transfer->content);
        buf_deinit(&transfer->key);
        *transfer = (struct transfer){ .resource = NULL };
}

/* Those of a session, of a resource, or of all: NULL. */
static void end_all(struct outgoing *outgoing, const coap_session_t *session, const struct resource *resource)
{
        for (size_t t = 0; t < N_TABLES; t++)
                for (size_t i = 0; i < MOST; i++) {
                        struct transfer *transfer = &outgoing->tables[t].v[i];

                        if ((!session || transfer->session == session) &&
                            (!resource || transfer->resource == resource))
                                end(&outgoing->tables[t], transfer);
                }
}

void outgoing_free(struct outgoing *outgoing)
{
        if (!outgoing)
                return;
        end_all(outgoing, NULL, NULL);
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

static struct transfer *find_in(struct table *table, const struct resource *resource,
                                const struct message *message, struct span key)
{
        for (size_t i = 0; i < MOST; i++) {
                struct transfer *transfer = &table->v[i];

                if (transfer->resource == resource && transfer->session == message->session &&
                    span_equal(buf_span(&transfer->key), key))
                        return transfer;
        }
        return NULL;
}

/* It may have proved its address after the first block. */
static struct transfer *find(struct outgoing *outgoing, const struct resource *resource,
                             const struct message *message, struct span key, struct table **ret_table)
{
        for (size_t t = 0; t < N_TABLES; t++) {
                struct transfer *transfer = find_in(&outgoing->tables[t], resource, message, key);

                if (!transfer)
                        continue;
                *ret_table = &outgoing->tables[t];
                return transfer;
        }
        return NULL;
}

static bool is_proved(const struct message *message)
{
        const struct client *client = client_of(message->session);

        return message->sender || (client && client->proved);
}

/* What goes out in one block at most, as far as can be told before the answer is written: see proof.c. */
static uint64_t block_size(const struct message *message)
{
        if (message->has_block2)
                return 1U << (message->block2.szx + 4);
        return is_proved(message) ? UNASKED_BLOCK : UNPROVED_BLOCK;
}

/* What an address has, in number or in bytes. */
static uint64_t weight_of(const struct table *table, uint64_t address, bool in_bytes)
{
        uint64_t weight = 0;

        for (size_t i = 0; i < MOST; i++)
                if (table->v[i].resource && table->v[i].address == address)
                        weight += in_bytes ? table->v[i].content->size : 1;
        return weight;
}

/*
 * Who makes room for one of `bytes` more of `address`: the oldest of the address that then has the most, so that
 * whoever begins many pushes out its own. NULL: there is none at all.
 */
static struct transfer *find_victim(struct table *table, uint64_t address, uint64_t bytes, bool in_bytes)
{
        struct transfer *victim = NULL;
        uint64_t most = 0;

        for (size_t i = 0; i < MOST; i++) {
                struct transfer *transfer = &table->v[i];
                uint64_t weight;

                if (!transfer->resource)
                        continue;
                weight = weight_of(table, transfer->address, in_bytes);
                if (transfer->address == address)
                        weight += in_bytes ? bytes : 1;
                if (weight < most || (weight == most && victim && transfer->began > victim->began))
                        continue;
                most = weight;
                victim = transfer;
        }
        return victim;
}

/* A free place for a content of so many bytes. */
static struct transfer *make_room(struct table *table, uint64_t address, uint64_t bytes)
{
        struct transfer *victim;

        while (table->bytes + bytes > MOST_BYTES && (victim = find_victim(table, address, bytes, true)))
                end(table, victim);
        for (size_t i = 0; i < MOST; i++)
                if (!table->v[i].resource)
                        return &table->v[i];
        victim = find_victim(table, address, bytes, false);
        end(table, victim);
        return victim;
}

void outgoing_keep(struct outgoing *outgoing, const struct resource *resource, const struct message *message,
                   const struct response *response)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        uint64_t size = response->content->size;
        struct transfer *transfer;
        struct table *table;

        write_key(message, &key);
        if (!buf_ok(&key))
                return;
        transfer = find(outgoing, resource, message, buf_span(&key), &table);
        if (transfer)
                end(table, transfer);
        /* What is read piece by piece sees to its changes by itself. */
        if (size <= block_size(message) || size > MOST_BYTES || !response->content->data)
                return;
        table = &outgoing->tables[is_proved(message) ? PROVED : UNPROVED];
        transfer = make_room(table, message->address, size);
        *transfer = (struct transfer){
                .resource = resource,
                .session = message->session,
                .address = message->address,
                .began = ++outgoing->begun,
                .key = key,
                .content = representation_ref(response->content),
                .max_age = response->max_age,
                .code = response->code,
        };
        key = (struct buf){ 0 };
        table->bytes += size;
}

bool outgoing_answer(struct outgoing *outgoing, const struct resource *resource,
                     const struct message *message, struct response *response)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        struct transfer *transfer;
        struct table *table;

        write_key(message, &key);
        transfer = buf_ok(&key) ? find(outgoing, resource, message, buf_span(&key), &table) : NULL;
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
        end_all(outgoing, session, NULL);
}

void outgoing_forget_resource(struct outgoing *outgoing, const struct resource *resource)
{
        end_all(outgoing, NULL, resource);
}
