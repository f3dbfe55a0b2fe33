/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Security contexts, given to libcoap and changed by a reload as far as libcoap allows. It has no way to drop
 * a context or to add a recipient to another than its first, so a context once given stays, and who is no
 * longer welcome is told apart by us: a stranger, for the access rules.
 */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

#define SEQUENCE_AHEAD 64           /* numbers stored at once */
#define SEQUENCE_EPOCH 1704067200LL /* 2024-01-01 */
#define SEQUENCES_PER_SECOND 256

void oscore_context_free(struct oscore_context *context)
{
        while (context->recipients) {
                struct oscore_recipient *recipient = context->recipients;

                context->recipients = recipient->next;
                explicit_bzero(recipient->key, sizeof(recipient->key));
                free(recipient);
        }
        secret_deinit(&context->secret);
        secret_deinit(&context->salt);
        secret_deinit(&context->id_context);
        explicit_bzero(context->sender_key, sizeof(context->sender_key));
        free(context);
}

static void append_hex(struct buf *text, const char *key, const uint8_t *p, size_t n)
{
        uint8_t *at;

        buf_printf(text, "%s,hex,\"", key);
        at = buf_reserve(text, 2 * n + 1);
        if (at) {
                identity_hex(p, n, (char *)at);
                text->n += 2 * n;
        }
        buf_append_string(text, "\"\n");
}

/* As coap-oscore-conf(5) has it. */
static void write_context(const struct oscore_context *context, struct buf *text)
{
        buf_printf(text, "rfc8613_b_1_2,bool,true\nrfc8613_b_2,bool,false\nssn_freq,integer,%d\n",
                   SEQUENCE_AHEAD);
        append_hex(text, "master_secret", context->secret.p, context->secret.n);
        if (context->salt.n)
                append_hex(text, "master_salt", context->salt.p, context->salt.n);
        if (context->id_context.n)
                append_hex(text, "id_context", context->id_context.p, context->id_context.n);
        append_hex(text, "sender_id", context->sender_id, context->sender_id_n);
        if (context->replay_window)
                buf_printf(text, "replay_window,integer,%u\n", context->replay_window);
        for (const struct oscore_recipient *r = context->recipients; r; r = r->next)
                append_hex(text, "recipient_id", r->id, r->id_n);
}

/*
 * Where to go on counting. What is stored is never below what was used. When nothing is, the clock stands in,
 * at a rate that no peer reaches: without a store at all, and where the store was lost.
 */
static uint64_t first_sequence(struct oscore_context *context)
{
        const struct security_store *store = context->owner->store;
        long long since = (long long)time(NULL) - SEQUENCE_EPOCH;
        uint64_t stored = 0;
        int r = store ? store->load(store->user, context->sequence, &stored) : -ENOTSUP;

        context->stored = r != -ENOTSUP;
        if (r == 0)
                return stored;
        if (r != -ENOENT && r != -ENOTSUP)
                log_warning(
                        "OSCORE: the stored sequence number can not be read (%s): the clock stands in for it",
                        strerror(-r));
        return since > 0 ? (uint64_t)since * SEQUENCES_PER_SECOND : 0;
}

static int open_context(struct oscore_context *context)
{
        struct buf text = { 0 };
        uint64_t first = first_sequence(context);
        coap_oscore_conf_t *conf = NULL;
        int r = 0;

        write_context(context, &text);
        if (buf_ok(&text))
                conf = coap_new_oscore_conf((coap_str_const_t){ text.n, text.p }, oscore_save_sequence,
                                            context, first);
        if (!conf || !coap_context_oscore_server(context->owner->coap, conf)) {
                log_error("%s:%u: libcoap does not take this OSCORE context", context->at.file,
                          context->at.line);
                r = -EINVAL;
        }
        context->next_own = first;
        for (struct oscore_recipient *recipient = context->recipients; recipient; recipient = recipient->next)
                recipient->live = r == 0;
        if (text.p)
                explicit_bzero(text.p, text.cap);
        buf_deinit(&text);
        return r;
}

int oscore_open(struct oscore *oscore, coap_context_t *context, const struct security_store *store)
{
        int r;

        if (oscore->n && !coap_oscore_is_supported()) {
                log_error("this libcoap has no OSCORE");
                return -ENOTSUP;
        }
        oscore->coap = context;
        oscore->store = store;
        for (size_t i = 0; i < oscore->n; i++) {
                r = open_context(oscore->contexts[i]);
                if (r < 0)
                        return r;
        }
        r = oscore_watch(oscore);
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
                if (strcmp(oscore->contexts[i]->sequence, like->sequence) == 0)
                        return oscore->contexts[i];
        }
        return NULL;
}

/* libcoap looks for the recipient and the id context of a message, and takes the first that it finds. */
static bool is_shadowed(const struct oscore *oscore, const struct oscore_context *context)
{
        for (size_t i = 0; i < oscore->n; i++) {
                const struct oscore_context *other = oscore->contexts[i];

                if (!span_equal(span_of(other->id_context.p, other->id_context.n),
                                span_of(context->id_context.p, context->id_context.n)))
                        continue;
                for (const struct oscore_recipient *r = context->recipients; r; r = r->next) {
                        if (find_recipient(other, r))
                                return true;
                }
        }
        return false;
}

/* A context that goes on with other recipients. Only the first context can be given new ones. */
static void merge_context(struct oscore *oscore, struct oscore_context *live, struct oscore_context *fresh)
{
        while (fresh->recipients) {
                struct oscore_recipient *recipient = fresh->recipients,
                                        *known = find_recipient(live, recipient);
                coap_bin_const_t *id;

                fresh->recipients = recipient->next;
                if (known) {
                        known->welcome = true;
                        free(recipient);
                        continue;
                }
                id = live == oscore->contexts[0] ? coap_new_bin_const(recipient->id, recipient->id_n) : NULL;
                recipient->live = id && coap_new_oscore_recipient(oscore->coap, id);
                recipient->next = live->recipients;
                live->recipients = recipient;
                if (!recipient->live)
                        log_warning("%s:%u: OSCORE recipient \"%.*s\" needs a restart: libcoap adds "
                                    "recipients to "
                                    "the first context only",
                                    fresh->at.file, fresh->at.line, (int)(2 * recipient->id_n),
                                    recipient->name);
        }
}

static void adopt_context(struct oscore *oscore, struct oscore_context *fresh)
{
        fresh->owner = oscore;
        oscore->contexts[oscore->n++] = fresh;
        if (open_context(fresh) < 0)
                return;
        log_info("%s:%u: OSCORE context added", fresh->at.file, fresh->at.line);
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
        for (size_t i = 0; i < oscore->n; i++) {
                for (struct oscore_recipient *r = contexts[i]->recipients; r; r = r->next)
                        r->welcome = false;
        }
        for (size_t i = 0; i < fresh->n; i++) {
                struct oscore_context *context = fresh->contexts[i], *live = find_context(oscore, context);

                if (live) {
                        merge_context(oscore, live, context);
                } else if (is_shadowed(oscore, context)) {
                        log_warning("%s:%u: the OSCORE context has other keys than before, which needs a "
                                    "restart; "
                                    "until then its peers are refused",
                                    context->at.file, context->at.line);
                } else {
                        fresh->contexts[i] = NULL;
                        adopt_context(oscore, context);
                }
        }
        if (oscore_index_keys(oscore) < 0)
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
        free(oscore);
}
