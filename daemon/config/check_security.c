/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules between keys of `security` and `access`; see check.h. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "config/check.h"
#include "config/keyfile.h"
#include "config/memory.h"
#include "config/syntax.h"

enum {
        PSK_MAX = 64,     /* bytes, as in the row of `key` */
        SECRET_MAX = 256, /* hex digits, as in the row of `master_secret` */
        /*
         * coap_add_observer() packs into 60 bytes, as CBOR and asserting that it fits, what is needed to find
         * an observer's OSCORE association again: an array (1), the recipient id (1 + r), the id context (1 +
         * c, or nil), the AAD of RFC 8613, 5.4 (2 + 24 + r with a partial IV of 5 bytes, which any client may
         * choose), the partial IV (1 + 5) and the nonce (1 + 13). So 49 + 2 r + c must not be more than 60.
         */
        OBSERVER_ROOM = 60 - 49,
};

static void check_identities(struct check *check, const struct conf_list *list)
{
        const struct conf_psk_identity *identities = list->v;

        check_twins(check, list, sizeof(*identities), offsetof(struct conf_psk_identity, identity));
        for (size_t i = 0; i < list->n; i++) {
                const struct conf_psk_identity *identity = &identities[i];
                int given = CHECK_GIVEN(check, &identity->key) + CHECK_GIVEN(check, &identity->key_hex) +
                            CHECK_GIVEN(check, &identity->key_file);
                CLEANUP(keyfile_wipe) struct buf key = { 0 };
                int r = identity->key_file ? keyfile_read(identity->key_file, PSK_MAX, &key) : -ENOENT;

                if (given != 1)
                        check_failed(check, &identity->at, "",
                                     "has %s, expected exactly one of key_file, key and key_hex",
                                     given ? "more than one key" : "no key");
                if (r == -EFBIG || (r == 0 && key.n == 0))
                        check_failed(check, &identity->key_file, "",
                                     "\"%s\" holds %s, expected a key of 1 to %d bytes",
                                     LOG_ESCAPE(span_of_string(identity->key_file)),
                                     r ? "more" : "an empty line", PSK_MAX);
        }
}

static void check_pki(struct check *check, const struct conf_pki *pki)
{
        bool certificate = CHECK_GIVEN(check, &pki->certificate);
        bool private_key = CHECK_GIVEN(check, &pki->private_key);

        if (private_key && !certificate)
                check_failed(check, &pki->certificate, "certificate",
                             "is missing, expected the file of coapd's certificate");
        if (certificate && !private_key)
                check_failed(check, &pki->private_key, "private_key",
                             "is missing, expected the file of the certificate's private key");
        if (pki->require_client_certificate && !CHECK_GIVEN(check, &pki->ca))
                check_failed(check, &pki->require_client_certificate, "",
                             "cannot tell good clients from bad ones, expected ca to name their authorities");
        if (pki->crl && !CHECK_GIVEN(check, &pki->ca))
                check_failed(check, &pki->crl, "",
                             "is of no use alone, expected ca to name the authorities of clients");
}

/* One client of one context, as libcoap looks for it. */
struct peer {
        const char *id;
        const char *context; /* "" for none */
        const char *const *member;
        size_t sequence;
};

static int by_peer(const void *a, const void *b)
{
        const struct peer *x = a, *y = b;
        int r = strcasecmp(x->id, y->id);

        if (r == 0)
                r = strcasecmp(x->context, y->context);
        return r ? r : x->sequence < y->sequence ? -1 : 1;
}

static void check_peer_twins(struct check *check, const struct conf_list *list)
{
        const struct conf_oscore *contexts = list->v;
        CLEANUP(freep) struct peer *peers = NULL;
        size_t n = 0, total = 1;

        for (size_t i = 0; i < list->n; i++)
                total += contexts[i].recipient_ids.n;
        peers = calloc(total, sizeof(*peers));
        if (!peers) {
                check->out_of_memory = true;
                return;
        }
        for (size_t i = 0; i < list->n; i++)
                for (size_t j = 0; j < contexts[i].recipient_ids.n; j++, n++)
                        peers[n] = (struct peer){ .id = contexts[i].recipient_ids.v[j],
                                                  .context = contexts[i].id_context ? contexts[i].id_context
                                                                                    : "",
                                                  .member = (const char *const *)&contexts[i].recipient_ids,
                                                  .sequence = n };
        qsort(peers, n, sizeof(*peers), by_peer);
        for (size_t i = 1; i < n; i++) {
                struct conf_origin at = config_origin(check->config, peers[i - 1].member);

                if (strcasecmp(peers[i].id, peers[i - 1].id) == 0 &&
                    strcasecmp(peers[i].context, peers[i - 1].context) == 0)
                        check_failed(check, peers[i].member, "",
                                     "\"%s\" is taken with this id_context, expected another id: %s:%u has "
                                     "it already",
                                     peers[i].id, at.file, at.line);
        }
}

static void check_recipients(struct check *check, const struct conf_oscore *context)
{
        size_t context_bytes = context->id_context ? strlen(context->id_context) / 2 : 0;

        for (size_t i = 0; i < context->recipient_ids.n; i++) {
                const char *id = context->recipient_ids.v[i];
                size_t bytes = strlen(id) / 2;

                if (context->sender_id && strcasecmp(id, context->sender_id) == 0)
                        check_failed(check, &context->recipient_ids, "",
                                     "\"%s\" is the sender_id too, expected another id: both sides would use "
                                     "one key "
                                     "with the same nonces",
                                     id);
                if (check->config->persist.observers && 2 * bytes + context_bytes > OBSERVER_ROOM)
                        check_failed(
                                check, &context->recipient_ids, "",
                                "\"%s\" is too long to keep this client's observations (persist.observers), "
                                "expected twice its bytes and those of id_context to be at most %d, not %zu: "
                                "libcoap would abort",
                                id, OBSERVER_ROOM, 2 * bytes + context_bytes);
        }
}

static void check_oscore(struct check *check, const struct conf_list *list)
{
        const struct conf_oscore *contexts = list->v;

        check_peer_twins(check, list);
        for (size_t i = 0; i < list->n; i++) {
                const struct conf_oscore *context = &contexts[i];
                int given = CHECK_GIVEN(check, &context->master_secret) +
                            CHECK_GIVEN(check, &context->master_secret_file);
                CLEANUP(keyfile_wipe) struct buf secret = { 0 };
                int r = context->master_secret_file
                                ? keyfile_read(context->master_secret_file, SECRET_MAX, &secret)
                                : -ENOENT;

                if (given != 1)
                        check_failed(check, &context->at, "",
                                     "has %s, expected exactly one of master_secret_file and master_secret",
                                     given ? "two master secrets" : "no master secret");
                if (r == -EFBIG || (r == 0 && (secret.n == 0 || syntax_hex(buf_string(&secret)))))
                        check_failed(
                                check, &context->master_secret_file, "",
                                "\"%s\" holds something else, expected 1 to %d bytes as pairs of hex digits",
                                LOG_ESCAPE(span_of_string(context->master_secret_file)), SECRET_MAX / 2);
                check_recipients(check, context);
        }
}

static bool has_identity(const struct conf_psk *psk, const char *name)
{
        const struct conf_psk_identity *identities = psk->identities.v;

        for (size_t i = 0; i < psk->identities.n; i++)
                if (identities[i].identity && strcmp(identities[i].identity, name) == 0)
                        return true;
        return false;
}

bool config_has_identity(const struct config *config, const char *name)
{
        const struct conf_security *security = &config->security;
        const struct conf_sni *hosts = security->sni.v;

        for (size_t i = 0; i < security->sni.n; i++)
                if (has_identity(&hosts[i].psk, name))
                        return true;
        return has_identity(&security->psk, name);
}

static bool has_authority(const struct conf_security *security)
{
        const struct conf_sni *hosts = security->sni.v;

        for (size_t i = 0; i < security->sni.n; i++)
                if (hosts[i].pki.ca)
                        return true;
        return security->pki.ca;
}

static void check_hosts(struct check *check, const struct conf_list *list)
{
        const struct conf_sni *hosts = list->v;

        for (size_t i = 0; i < list->n; i++) {
                if (!hosts[i].psk.identities.n && !hosts[i].pki.certificate)
                        check_failed(check, &hosts[i].at, "", "has no key, expected psk or pki");
                check_identities(check, &hosts[i].psk.identities);
                check_pki(check, &hosts[i].pki);
        }
}

static bool known_peer(const struct conf_security *security, const char *id)
{
        const struct conf_oscore *contexts = security->oscore.v;

        for (size_t i = 0; i < security->oscore.n; i++)
                for (size_t j = 0; j < contexts[i].recipient_ids.n; j++)
                        if (strcasecmp(contexts[i].recipient_ids.v[j], id) == 0)
                                return true;
        return false;
}

/* False when `value` has not the form that its module, which handed the function over, wants. */
static bool check_form(struct check *check, const void *member, const char *(*form)(const char *),
                       const char *value)
{
        const char *expected = form && value ? form(value) : NULL;

        if (expected)
                check_failed(check, member, "", "\"%s\" is not valid, expected %s",
                             LOG_ESCAPE(span_of_string(value)), expected);
        return !expected;
}

/* A rule for somebody who cannot exist is a mistyped one. */
static void check_subject(struct check *check, const struct conf_access_rule *rule, const char *subject)
{
        const struct conf_security *security = &check->config->security;
        const char *colon = strchr(subject, ':');
        const char *shown = LOG_ESCAPE(span_of_string(subject));

        if (colon && strcmp(colon, ":*") == 0)
                return;
        if (strncmp(subject, "psk:", 4) == 0 && !config_has_identity(check->config, subject + 4))
                check_failed(check, &rule->allow, "",
                             "nobody is \"%s\", expected one of the identities of security.psk", shown);
        if (strncmp(subject, "oscore:", 7) == 0 && !security->oscore_files.n &&
            !known_peer(security, subject + 7))
                check_failed(check, &rule->allow, "",
                             "nobody is \"%s\", expected one of the recipient_ids of security.oscore", shown);
        if (strncmp(subject, "cert:", 5) == 0 && !has_authority(security))
                check_failed(check, &rule->allow, "",
                             "nobody is \"%s\", expected security.pki.ca to name the authorities of clients",
                             shown);
}

static void check_rule(struct check *check, const struct conf_access_rule *rule)
{
        const struct conf_memory *memory = check->config->memory;
        const struct conf_vocabulary *vocabulary = &memory->vocabulary;

        check_form(check, &rule->path, vocabulary->check_access_path, rule->path);
        for (size_t i = 0; i < rule->methods.n; i++)
                check_form(check, &rule->methods, vocabulary->check_access_method, rule->methods.v[i]);
        for (size_t i = 0; i < rule->allow.n; i++)
                if (check_form(check, &rule->allow, vocabulary->check_access_subject, rule->allow.v[i]))
                        check_subject(check, rule, rule->allow.v[i]);
}

void check_security(struct check *check)
{
        const struct conf_list *access = &check->config->access;

        check_identities(check, &check->config->security.psk.identities);
        check_pki(check, &check->config->security.pki);
        check_hosts(check, &check->config->security.sni);
        check_oscore(check, &check->config->security.oscore);
        for (size_t i = 0; i < access->n; i++)
                check_rule(check, (const struct conf_access_rule *)access->v + i);
}
