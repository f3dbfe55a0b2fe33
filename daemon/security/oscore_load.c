/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Security contexts from what the config says; oscore_load() of oscore.h.
 */
#include <errno.h>

#include "base/util.h"
#include "security/oscore_internal.h"

/*
 * What coap_add_observer() of libcoap has room for, with the recipient id twice and the id context once; it
 * aborts beyond. config/check_security.c has the account of it.
 */
#define OBSERVER_ROOM 11

static struct oscore_master master_of(const struct oscore_context *context)
{
        return (struct oscore_master){ .secret = span_of(context->secret.p, context->secret.n),
                                       .salt = span_of(context->salt.p, context->salt.n),
                                       .id_context = span_of(context->id_context.p, context->id_context.n) };
}

static int add_recipient(struct oscore_context *context, const struct secret *id)
{
        struct oscore_recipient *recipient = calloc(1, sizeof(*recipient));
        struct oscore_master master = master_of(context);

        if (!recipient)
                return -ENOMEM;
        *recipient = (struct oscore_recipient){ .next = context->recipients, .id_n = id->n, .welcome = true };
        memcpy(recipient->id, id->p, id->n);
        identity_hex(recipient->id, recipient->id_n, recipient->name);
        context->recipients = recipient;
        return oscore_derive_key(&master, span_of(recipient->id, recipient->id_n), recipient->key);
}

static int check_recipient(const struct oscore_source *source, const struct secret *id,
                           struct key_errors *errors)
{
        bool observers = errors->config->persist.observers;
        char name[2 * OSCORE_ID_MAX + 1] = "";

        if (id->n <= OSCORE_ID_MAX)
                identity_hex(id->p, id->n, name);
        if (id->n > OSCORE_ID_MAX)
                key_error(errors, source->at, "", "a recipient id has %zu bytes, expected at most %d", id->n,
                          OSCORE_ID_MAX);
        else if (secrets_equal(id, &source->sender_id))
                key_error(errors, source->at, "", "\"%s\" is both sender and recipient, expected two ids",
                          name);
        else if (observers && 2 * id->n + source->id_context.n > OBSERVER_ROOM)
                key_error(
                        errors, source->at, "",
                        "\"%s\" is too long to keep this client's observations (persist.observers), expected "
                        "twice its bytes and those of the id context to be at most %d",
                        name, OBSERVER_ROOM);
        else
                return 0;
        return -EINVAL;
}

static int check_source(const struct oscore_source *source, struct key_errors *errors)
{
        int result = 0;

        if (source->sender_id.n > OSCORE_ID_MAX || source->secret.n == 0 || source->id_context.n > 200) {
                key_error(errors, source->at, "",
                          "has no master secret, a sender id of %zu or an id context of %zu bytes, expected "
                          "one, "
                          "at most %d, and at most 200",
                          source->sender_id.n, source->id_context.n, OSCORE_ID_MAX);
                result = -EINVAL;
        }
        for (size_t i = 0; i < source->n_recipients; i++) {
                if (check_recipient(source, &source->recipients[i], errors) < 0)
                        result = -EINVAL;
        }
        return result;
}

/* The context is in `oscore` from the start, so that whatever it has is freed with it. */
static int add_context(struct oscore *oscore, struct oscore_source *source)
{
        struct oscore_context *context = calloc(1, sizeof(*context));
        struct oscore_master master;
        int r = 0;

        if (!context)
                return -ENOMEM;
        *context = (struct oscore_context){ .owner = oscore,
                                            .at = source->at,
                                            .replay_window = source->replay_window,
                                            .sender_id_n = source->sender_id.n,
                                            .secret = source->secret,
                                            .salt = source->salt,
                                            .id_context = source->id_context,
                                            .datagrams = { .context = context } };
        source->secret = source->salt = source->id_context = (struct secret){ 0 };
        memcpy(context->sender_id, source->sender_id.p, source->sender_id.n);
        oscore->contexts[oscore->n++] = context;
        master = master_of(context);
        for (size_t i = 0; i < source->n_recipients && r == 0; i++)
                r = add_recipient(context, &source->recipients[i]);
        if (r == 0)
                r = oscore_derive_key(&master, span_of(context->sender_id, context->sender_id_n),
                                      context->sender_key);
        if (r == 0)
                r = oscore_derive_common_iv(&master, context->common_iv);
        if (r == 0)
                r = oscore_sequence_name(context->sender_key, OSCORE_DATAGRAMS, context->datagrams.sequence);
        return r;
}

/* The same key counted in two places would use the same nonces; of two peers libcoap would find one. */
static int check_twins(const struct oscore *oscore, struct key_errors *errors)
{
        int result = 0;

        for (size_t i = 0; i < oscore->n; i++) {
                for (size_t k = 0; k < i; k++) {
                        const struct oscore_context *a = oscore->contexts[k], *b = oscore->contexts[i];

                        if (strcmp(a->datagrams.sequence, b->datagrams.sequence) == 0)
                                key_error(errors, b->at, "",
                                          "has the sender key of line %u, expected one context with the "
                                          "recipient_ids of both",
                                          a->at.line);
                        else if (oscore_share_a_peer(a, b))
                                key_error(errors, b->at, "",
                                          "has a recipient id of line %u, expected ids of its own or another "
                                          "id "
                                          "context",
                                          a->at.line);
                        else
                                continue;
                        result = -EINVAL;
                }
        }
        return result;
}

/* One context. `loaded` is what came of reading it. */
static int take_source(struct oscore *oscore, struct key_errors *errors, int loaded,
                       struct oscore_source *source)
{
        int r = loaded;

        if (r == 0)
                r = check_source(source, errors);
        if (r == 0) {
                r = add_context(oscore, source);
                if (r < 0 && r != -ENOMEM)
                        key_error(
                                errors, source->at, "",
                                "its keys can not be derived, expected a GnuTLS that has HKDF and HMAC with "
                                "SHA-256");
        }
        oscore_source_deinit(source);
        return r;
}

static int load_contexts(struct oscore *oscore, const struct config *config, struct key_errors *errors)
{
        const struct conf_strings *files = &config->security.oscore_files;
        const struct conf_list *list = &config->security.oscore;
        const struct conf_oscore *contexts = list->v;
        int result = 0;

        for (size_t i = 0; i < list->n + files->n; i++) {
                struct oscore_source source = { 0 };
                const char *file = i < list->n ? NULL : files->v[i - list->n];
                int r;

                errors->group = file ? "security.oscore_files" : "security.oscore";
                r = file ? oscore_source_of_file(file, config_origin(config, files), errors, &source)
                         : oscore_source_of_config(&contexts[i], errors, &source);
                r = take_source(oscore, errors, r, &source);
                if (r == -ENOMEM)
                        return r;
                result = r < 0 ? -EINVAL : result;
        }
        errors->group = "security.oscore";
        return result < 0 ? result : check_twins(oscore, errors);
}

static void oscore_freep(struct oscore **oscore)
{
        oscore_free(*oscore);
}

static bool has_streams(const struct config *config)
{
        const struct conf_endpoint *endpoints = config->endpoints.v;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (endpoints[i].transport != TRANSPORT_UDP)
                        return true;
        }
        return false;
}

int oscore_load(const struct config *config, struct key_errors *errors, struct oscore **ret_oscore)
{
        size_t n = config->security.oscore.n + config->security.oscore_files.n;
        CLEANUP(oscore_freep) struct oscore *oscore = calloc(1, sizeof(*oscore));
        int r;

        if (!oscore)
                return -ENOMEM;
        oscore->has_streams = has_streams(config);
        oscore->contexts = calloc(n + 1, sizeof(struct oscore_context *));
        if (!oscore->contexts || oscore_observers_new(&oscore->observers) < 0)
                return -ENOMEM;
        r = load_contexts(oscore, config, errors);
        if (r < 0)
                return r;
        *ret_oscore = TAKE(oscore);
        return 0;
}

size_t oscore_count(const struct oscore *oscore)
{
        return oscore->n;
}
