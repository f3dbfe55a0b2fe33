/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Security contexts: read from the config, given to libcoap, changed by a reload as far as libcoap allows. It
 * has no way to drop a context or to add a recipient to another than its first, so a context once given
 * stays, and who is no longer welcome is told apart by us: a stranger, for the access rules.
 */
#include <ctype.h>
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

#define SEQUENCE_AHEAD 64           /* numbers stored at once */
#define SEQUENCE_EPOCH 1704067200LL /* 2024-01-01 */
#define SEQUENCES_PER_SECOND 256

static void free_context(struct oscore_context *context)
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

static struct oscore_master master_of(const struct oscore_context *context)
{
        return (struct oscore_master){ .secret = span_of(context->secret.p, context->secret.n),
                                       .salt = span_of(context->salt.p, context->salt.n),
                                       .id_context = span_of(context->id_context.p, context->id_context.n) };
}

static int read_hex(const char *digits, struct secret *ret_secret)
{
        return digits ? secret_from_hex(digits, ret_secret) : 0;
}

static int read_master(const struct conf_oscore *conf, struct key_errors *errors,
                       struct oscore_context *context)
{
        CLEANUP(secret_deinit) struct secret file = { 0 };
        const char *digits = conf->master_secret;
        int r;

        if (!conf->master_secret == !conf->master_secret_file) {
                key_error(errors, conf->at, "",
                          "has %s, expected one of master_secret_file and master_secret",
                          conf->master_secret ? "two master secrets" : "no master secret");
                return -EINVAL;
        }
        if (conf->master_secret_file) {
                if (secret_read_file(conf->master_secret_file, true, errors, conf->at, "master_secret_file",
                                     &file) < 0)
                        return -EINVAL;
                digits = (const char *)file.p;
        }
        r = secret_from_hex(digits, &context->secret);
        if (r == 0)
                r = read_hex(conf->master_salt, &context->salt);
        if (r == 0)
                r = read_hex(conf->id_context, &context->id_context);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || context->secret.n == 0 || context->id_context.n > 200) {
                key_error(errors, conf->at, "",
                          "its master secret, master_salt or id_context is not valid, expected hex digits");
                return -EINVAL;
        }
        return 0;
}

/* 0, -ENOMEM, -EINVAL with the error reported. */
static int read_id(const char *digits, const struct conf_oscore *conf, struct key_errors *errors,
                   uint8_t out[OSCORE_ID_MAX], size_t *ret_n)
{
        CLEANUP(secret_deinit) struct secret id = { 0 };
        int r = digits ? secret_from_hex(digits, &id) : -EINVAL;

        if (r == -ENOMEM)
                return r;
        if (r < 0 || id.n > OSCORE_ID_MAX) {
                key_error(errors, conf->at, "", "\"%s\" is not an id, expected up to %d hex digits",
                          digits ? digits : "", 2 * OSCORE_ID_MAX);
                return -EINVAL;
        }
        memcpy(out, id.p, id.n);
        *ret_n = id.n;
        return 0;
}

static int add_recipient(struct oscore_context *context, const char *digits, const struct conf_oscore *conf,
                         struct key_errors *errors)
{
        struct oscore_recipient *recipient = calloc(1, sizeof(*recipient));
        struct oscore_master master = master_of(context);
        int r;

        if (!recipient)
                return -ENOMEM;
        recipient->next = context->recipients;
        context->recipients = recipient;
        recipient->welcome = true;
        r = read_id(digits, conf, errors, recipient->id, &recipient->id_n);
        if (r < 0)
                return r;
        identity_hex(recipient->id, recipient->id_n, recipient->name);
        return oscore_derive_key(&master, span_of(recipient->id, recipient->id_n), recipient->key);
}

/* The context is in `oscore` from the start, so that whatever it has is freed with it. */
static int add_context(struct oscore *oscore, const struct conf_oscore *conf, struct key_errors *errors)
{
        struct oscore_context *context = calloc(1, sizeof(*context));
        struct oscore_master master;
        int r;

        if (!context)
                return -ENOMEM;
        *context = (struct oscore_context){ .owner = oscore, .at = conf->at };
        oscore->contexts[oscore->n++] = context;
        r = read_id(conf->sender_id, conf, errors, context->sender_id, &context->sender_id_n);
        if (r == 0)
                r = read_master(conf, errors, context);
        if (r < 0)
                return r;
        master = master_of(context);
        for (size_t i = 0; i < conf->recipient_ids.n && r == 0; i++)
                r = add_recipient(context, conf->recipient_ids.v[i], conf, errors);
        if (r == 0)
                r = oscore_derive_key(&master, span_of(context->sender_id, context->sender_id_n),
                                      context->sender_key);
        if (r == 0)
                r = oscore_derive_common_iv(&master, context->common_iv);
        return r == 0 ? oscore_sequence_name(context->sender_key, context->sequence) : r;
}

/* The same key counted in two places would use the same nonces. */
static int check_twins(const struct oscore *oscore, struct key_errors *errors)
{
        int result = 0;

        for (size_t i = 0; i < oscore->n; i++) {
                for (size_t k = 0; k < i; k++) {
                        const struct oscore_context *a = oscore->contexts[k], *b = oscore->contexts[i];

                        if (strcmp(a->sequence, b->sequence) != 0)
                                continue;
                        key_error(errors, b->at, "",
                                  "has the sender key of line %u, expected one context with the "
                                  "recipient_ids of both",
                                  a->at.line);
                        result = -EINVAL;
                }
        }
        return result;
}

static void oscore_freep(struct oscore **oscore)
{
        oscore_free(*oscore);
}

int oscore_load(const struct config *config, struct key_errors *errors, struct oscore **ret_oscore)
{
        const struct conf_list *list = &config->security.oscore;
        const struct conf_oscore *contexts = list->v;
        CLEANUP(oscore_freep) struct oscore *oscore = calloc(1, sizeof(*oscore));
        int result = 0;

        if (!oscore)
                return -ENOMEM;
        errors->group = "security.oscore";
        oscore->contexts = calloc(list->n ? list->n : 1, sizeof(struct oscore_context *));
        if (!oscore->contexts || oscore_observers_new(&oscore->observers) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < list->n; i++) {
                int r = add_context(oscore, &contexts[i], errors);

                if (r == -ENOMEM)
                        return r;
                result = r < 0 ? -EINVAL : result;
        }
        if (result == 0)
                result = check_twins(oscore, errors);
        if (result < 0)
                return result;
        *ret_oscore = TAKE(oscore);
        return 0;
}

bool oscore_is_empty(const struct oscore *oscore)
{
        return oscore->n == 0;
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
        if (oscore->n && !coap_oscore_is_supported()) {
                log_error("this libcoap has no OSCORE");
                return -ENOTSUP;
        }
        oscore->coap = context;
        oscore->store = store;
        for (size_t i = 0; i < oscore->n; i++) {
                int r = open_context(oscore->contexts[i]);

                if (r < 0)
                        return r;
        }
        oscore_watch(oscore);
        return oscore_index_keys(oscore);
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
                        log_warning("%s:%u: OSCORE recipient \"%.*s\" is known after the next restart",
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
                        log_warning(
                                "%s:%u: the OSCORE context has other keys than before; its peers are refused "
                                "until the next restart",
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
                        free_context(oscore->contexts[i]);
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
