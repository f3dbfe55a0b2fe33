/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Security contexts, given to libcoap and changed by a reload. It has no way to drop a context, so a context once given
 * stays, and who is no longer welcome is told apart by us, and refused.
 */
#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

static void recipient_free(struct oscore_recipient *recipient)
{
        explicit_bzero(recipient->key, sizeof(recipient->key));
        while (recipient->windows) {
                struct oscore_window *window = recipient->windows;

                recipient->windows = window->next;
                free(window);
        }
        free(recipient);
}

void oscore_context_free(struct oscore_context *context)
{
        while (context->recipients) {
                struct oscore_recipient *recipient = context->recipients;

                context->recipients = recipient->next;
                recipient_free(recipient);
        }
        oscore_streams_free(context);
        secret_deinit(&context->secret);
        secret_deinit(&context->salt);
        secret_deinit(&context->id_context);
        explicit_bzero(context->sender_key, sizeof(context->sender_key));
        free(context);
}

bool oscore_share_a_peer(const struct oscore_context *a, const struct oscore_context *b)
{
        if (!secrets_equal(&a->id_context, &b->id_context))
                return false;
        for (const struct oscore_recipient *x = a->recipients; x; x = x->next) {
                for (const struct oscore_recipient *y = b->recipients; y; y = y->next) {
                        if (span_equal(span_of(x->id, x->id_n), span_of(y->id, y->id_n)))
                                return true;
                }
        }
        return false;
}

/* Libcoap has them now, and we have what was derived. */
static void forget_secrets(struct oscore *oscore)
{
        for (size_t i = 0; i < oscore->n; i++) {
                secret_deinit(&oscore->contexts[i]->secret);
                secret_deinit(&oscore->contexts[i]->salt);
        }
}

int oscore_open(struct oscore *oscore, struct shards shards, const struct security_store *store)
{
        int r;

        if (oscore->n && !coap_oscore_is_supported()) {
                log_error("this libcoap has no OSCORE");
                return -ENOTSUP;
        }
        oscore->shards = shards;
        oscore->store = store;
        for (size_t i = 0; i < oscore->n; i++) {
                r = oscore_places_open(oscore->contexts[i]);
                if (r < 0)
                        return r;
        }
        r = oscore_streams_settle(oscore);
        if (r < 0)
                return r;
        forget_secrets(oscore);
        r = oscore_watch(oscore);
        if (r == 0)
                r = oscore_index_routes(oscore);
        return r < 0 ? r : oscore_index_keys(oscore);
}

static struct oscore_recipient *find_recipient(const struct oscore_context *context,
                                               const struct oscore_recipient *like)
{
        struct oscore_recipient *r = context->recipients;

        while (r && !span_equal(span_of(r->id, r->id_n), span_of(like->id, like->id_n)))
                r = r->next;
        return r;
}

static struct oscore_context *find_context(const struct oscore *oscore, const struct oscore_context *like)
{
        for (size_t i = 0; i < oscore->n; i++) {
                if (strcmp(oscore->contexts[i]->datagrams.sequence, like->datagrams.sequence) == 0)
                        return oscore->contexts[i];
        }
        return NULL;
}

/* A context that goes on, maybe with other recipients. */
static void merge_context(struct oscore_context *live, struct oscore_context *fresh)
{
        live->at = fresh->at;
        live->secret = fresh->secret;
        live->salt = fresh->salt;
        fresh->secret = fresh->salt = (struct secret){ 0 };
        while (fresh->recipients) {
                struct oscore_recipient *recipient = fresh->recipients,
                                        *known = find_recipient(live, recipient);

                fresh->recipients = recipient->next;
                if (known) {
                        known->welcome = true;
                        recipient_free(recipient);
                        recipient = known;
                } else {
                        recipient->next = live->recipients;
                        live->recipients = recipient;
                }
                if (!recipient->live && !oscore_places_add(live, recipient))
                        log_warning("%s:%u: OSCORE recipient \"%.*s\" needs a restart: libcoap adds "
                                    "recipients to the first context of each server.shards only",
                                    fresh->at.file, fresh->at.line, (int)(2 * recipient->id_n),
                                    recipient->name);
        }
}

static void adopt_context(struct oscore *oscore, struct oscore_context *fresh)
{
        int r;

        fresh->owner = oscore;
        oscore->contexts[oscore->n++] = fresh;
        r = oscore_places_open(fresh);
        if (r == 0)
                log_info("%s:%u: OSCORE context added", fresh->at.file, fresh->at.line);
        if (r != -EBUSY)
                return; /* libcoap may have it */
        log_warning("%s:%u: the OSCORE context has other keys than before, which needs a restart: each "
                    "of server.shards has old ones of its peers; until then they are refused",
                    fresh->at.file, fresh->at.line);
        oscore->n--;
        oscore_context_free(fresh);
}

void oscore_replace(struct oscore *oscore, struct oscore *fresh)
{
        struct oscore_context **contexts =
                reallocarray(oscore->contexts, oscore->n + fresh->n + 1, sizeof(struct oscore_context *));

        if (!contexts) {
                log_error("out of memory: OSCORE contexts are not reloaded");
                return;
        }
        oscore->contexts = contexts;
        oscore->has_streams = fresh->has_streams;
        for (size_t i = 0; i < oscore->n; i++) {
                for (struct oscore_recipient *r = contexts[i]->recipients; r; r = r->next)
                        r->welcome = false;
        }
        for (size_t i = 0; i < fresh->n; i++) {
                struct oscore_context *context = fresh->contexts[i], *live = find_context(oscore, context);

                if (live) {
                        merge_context(live, context);
                } else {
                        fresh->contexts[i] = NULL;
                        adopt_context(oscore, context);
                }
        }
        if (oscore_streams_settle(oscore) == -ENOMEM)
                log_error("out of memory: some OSCORE peers are refused over DTLS, TCP and WebSocket");
        forget_secrets(oscore);
        if (oscore_index_keys(oscore) < 0 || oscore_index_routes(oscore) < 0)
                log_error("out of memory: new OSCORE peers are strangers");
}

void oscore_free(struct oscore *oscore)
{
        if (!oscore)
                return;
        oscore_unwatch(oscore);
        for (size_t i = 0; i < oscore->n; i++) {
                if (oscore->contexts[i])
                        oscore_context_free(oscore->contexts[i]);
        }
        if (oscore->keys)
                explicit_bzero(oscore->keys, oscore->n_keys * sizeof(*oscore->keys));
        if (oscore->plaintext.p)
                explicit_bzero(oscore->plaintext.p, oscore->plaintext.cap);
        buf_deinit(&oscore->plaintext);
        oscore_observers_free(oscore->observers);
        free(oscore->contexts);
        free(oscore->keys);
        free(oscore->routes);
        free(oscore);
}
