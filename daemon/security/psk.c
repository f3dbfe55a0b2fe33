/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The identities of the config in a hash table, so that a handshake with ten thousand of them costs what it
 * costs with ten. The hash is keyed at random: who asks is not yet known to be anybody.
 */
#include "security/psk.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"

#define KEY_MAX 64       /* of libcoap's clients; GnuTLS takes more */
#define IDENTITY_MAX 128 /* of GnuTLS */

struct entry {
        struct span identity; /* owned */
        struct secret key;
};

struct psk {
        struct entry *entries;
        size_t n;
        uint32_t *table; /* open addressing; index into entries + 1 */
        size_t table_size;
        uint64_t seed;
        gnutls_psk_server_credentials_t credentials;
};

static size_t find_slot(const struct psk *psk, struct span identity)
{
        uint64_t h = psk->seed;
        size_t slot;

        for (size_t i = 0; i < identity.n; i++) {
                h = (h ^ identity.p[i]) * 0x9e3779b97f4a7c15u;
                h ^= h >> 29;
        }
        slot = (size_t)h & (psk->table_size - 1);
        while (psk->table[slot] && !span_equal(psk->entries[psk->table[slot] - 1].identity, identity))
                slot = (slot + 1) & (psk->table_size - 1);
        return slot;
}

const struct secret *psk_find(const struct psk *psk, struct span identity)
{
        size_t slot;

        if (!psk)
                return NULL;
        slot = find_slot(psk, identity);
        return psk->table[slot] ? &psk->entries[psk->table[slot] - 1].key : NULL;
}

/* The key from whichever of the three ways gives it. 0, -ENOMEM, -EINVAL with the error reported. */
static int load_key(const struct conf_psk_identity *conf, struct key_errors *errors, struct secret *ret_key)
{
        CLEANUP(secret_deinit) struct secret key = { 0 };
        int given = !!conf->key + !!conf->key_hex + !!conf->key_file;
        int r = 0;

        if (given != 1) {
                key_error(errors, conf->at, "identities",
                          "\"%s\" has %s key, expected one of key_file, key and key_hex", conf->identity,
                          given ? "more than one" : "no");
                return -EINVAL;
        }
        if (conf->key)
                r = secret_from_text(conf->key, &key);
        else if (conf->key_hex)
                r = secret_from_hex(conf->key_hex, &key);
        else
                r = secret_read_file(conf->key_file, true, errors, conf->at, "identities.key_file", &key);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        if (conf->key_file && key.n && key.p[key.n - 1] == '\n')
                key.n--;
        if (key.n == 0 || key.n > KEY_MAX) {
                key_error(errors, conf->at, "identities", "the key of \"%s\" has %zu bytes, expected 1 to %d",
                          conf->identity, key.n, KEY_MAX);
                return -EINVAL;
        }
        *ret_key = key;
        key.p = NULL;
        return 0;
}

static int add_identity(struct psk *psk, const struct conf_psk_identity *conf, struct key_errors *errors)
{
        struct entry *entry = &psk->entries[psk->n];
        size_t n = conf->identity ? strlen(conf->identity) : 0;
        uint8_t *copy;
        size_t slot;
        int r;

        if (n == 0 || n > IDENTITY_MAX) {
                key_error(errors, conf->at, "identities.identity", "has %zu bytes, expected 1 to %d", n,
                          IDENTITY_MAX);
                return -EINVAL;
        }
        slot = find_slot(psk, span_of_string(conf->identity));
        if (psk->table[slot]) {
                key_error(errors, conf->at, "identities.identity", "\"%s\" is there twice, expected it once",
                          conf->identity);
                return -EINVAL;
        }
        r = load_key(conf, errors, &entry->key);
        if (r < 0)
                return r;
        copy = malloc(n);
        if (!copy) {
                secret_deinit(&entry->key);
                return -ENOMEM;
        }
        memcpy(copy, conf->identity, n);
        entry->identity = span_of(copy, n);
        psk->table[slot] = (uint32_t)++psk->n;
        return 0;
}

static int make_credentials(struct psk *psk, const char *hint,
                            gnutls_psk_server_credentials_function2 *give_key)
{
        if (gnutls_psk_allocate_server_credentials(&psk->credentials) < 0)
                return -ENOMEM;
        gnutls_psk_set_server_credentials_function2(psk->credentials, give_key);
        return hint && gnutls_psk_set_server_credentials_hint(psk->credentials, hint) < 0 ? -ENOMEM : 0;
}

static void psk_freep(struct psk **psk)
{
        psk_free(*psk);
}

int psk_load(const struct conf_psk *conf, gnutls_psk_server_credentials_function2 *give_key,
             struct key_errors *errors, struct psk **ret_psk)
{
        const struct conf_list *list = &conf->identities;
        const struct conf_psk_identity *identities = list->v;
        CLEANUP(psk_freep) struct psk *psk = NULL;
        int result;

        if (list->n == 0) {
                *ret_psk = NULL;
                return 0;
        }
        psk = calloc(1, sizeof(*psk));
        if (!psk)
                return -ENOMEM;
        for (psk->table_size = 16; psk->table_size < 2 * list->n;)
                psk->table_size *= 2;
        psk->entries = calloc(list->n, sizeof(*psk->entries));
        psk->table = calloc(psk->table_size, sizeof(*psk->table));
        if (!psk->entries || !psk->table)
                return -ENOMEM;
        if (getrandom(&psk->seed, sizeof(psk->seed), 0) != sizeof(psk->seed))
                return -EIO;
        result = make_credentials(psk, conf->hint, give_key);
        for (size_t i = 0; i < list->n && result != -ENOMEM; i++) {
                int r = add_identity(psk, &identities[i], errors);

                result = r < 0 ? r : result;
        }
        if (result < 0)
                return result;
        *ret_psk = TAKE(psk);
        return 0;
}

gnutls_psk_server_credentials_t psk_credentials(const struct psk *psk)
{
        return psk->credentials;
}

void psk_free(struct psk *psk)
{
        if (!psk)
                return;
        for (size_t i = 0; i < psk->n; i++) {
                free((void *)psk->entries[i].identity.p);
                secret_deinit(&psk->entries[i].key);
        }
        free(psk->entries);
        free(psk->table);
        if (psk->credentials)
                gnutls_psk_free_server_credentials(psk->credentials);
        free(psk);
}
