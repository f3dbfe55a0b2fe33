/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch over libcoap's use of OSCORE keys: three functions of GnuTLS that libcoap alone calls in this
 * process, once for each message and in this order: init with the key, encrypt or decrypt.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/util.h"
#include "security/interpose.h"
#include "security/oscore_internal.h"

/* As in tls.c: functions that are found by their name have no user pointer. */
static struct oscore *watched;

/* The key of the handle that was made last. */
static struct {
        gnutls_aead_cipher_hd_t handle;
        uint8_t key[OSCORE_KEY_SIZE];
} latest;

static int compare_keys(const void *a, const void *b)
{
        return memcmp(a, b, OSCORE_KEY_SIZE);
}

int oscore_index_keys(struct oscore *oscore)
{
        struct oscore_key *keys;
        size_t n = 0;

        for (size_t i = 0; i < oscore->n; i++) {
                n++;
                for (const struct oscore_recipient *r = oscore->contexts[i]->recipients; r; r = r->next)
                        n++;
        }
        keys = calloc(n ? n : 1, sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < oscore->n; i++) {
                struct oscore_context *context = oscore->contexts[i];

                keys[n].context = context;
                memcpy(keys[n++].key, context->sender_key, OSCORE_KEY_SIZE);
                for (struct oscore_recipient *r = context->recipients; r; r = r->next) {
                        keys[n].context = context;
                        keys[n].recipient = r;
                        memcpy(keys[n++].key, r->key, OSCORE_KEY_SIZE);
                }
        }
        qsort(keys, n, sizeof(*keys), compare_keys);
        if (oscore->keys)
                explicit_bzero(oscore->keys, oscore->n_keys * sizeof(*oscore->keys));
        free(oscore->keys);
        oscore->keys = keys;
        oscore->n_keys = n;
        return 0;
}

int oscore_watch(struct oscore *oscore)
{
        if (!STANDS_FIRST(gnutls_aead_cipher_init) || !STANDS_FIRST(gnutls_aead_cipher_encrypt) ||
            !STANDS_FIRST(gnutls_aead_cipher_decrypt))
                return -ENOTSUP;
        oscore->next = watched;
        watched = oscore;
        return 0;
}

void oscore_unwatch(struct oscore *oscore)
{
        struct oscore **link = &watched;

        while (*link && *link != oscore)
                link = &(*link)->next;
        if (*link)
                *link = oscore->next;
}

/* Whose key the handle has; NULL: not one of ours. To be asked once. */
static const struct oscore_key *take_key_of(gnutls_aead_cipher_hd_t handle)
{
        const struct oscore_key *key = NULL;

        for (struct oscore *o = watched; o && !key && handle == latest.handle; o = o->next)
                key = o->n_keys ? bsearch(latest.key, o->keys, o->n_keys, sizeof(*o->keys), compare_keys)
                                : NULL;
        explicit_bzero(&latest, sizeof(latest));
        return key;
}

static void enter_nonce(struct oscore_ledger *ledger, const struct oscore_context *context,
                        const uint8_t *nonce)
{
        ledger->newest = (ledger->newest + 1) % OSCORE_LEDGER_SIZE;
        ledger->v[ledger->newest].context = context;
        memcpy(ledger->v[ledger->newest].nonce, nonce, OSCORE_NONCE_SIZE);
}

/* Whether a request came with this nonce and has not been answered with it. */
static bool take_nonce(struct oscore_ledger *ledger, const struct oscore_context *context,
                       const uint8_t *nonce)
{
        for (size_t i = 0; i < OSCORE_LEDGER_SIZE; i++) {
                size_t at = (ledger->newest + OSCORE_LEDGER_SIZE - i) % OSCORE_LEDGER_SIZE;

                if (ledger->v[at].context != context ||
                    memcmp(ledger->v[at].nonce, nonce, OSCORE_NONCE_SIZE) != 0)
                        continue;
                ledger->v[at].context = NULL;
                return true;
        }
        return false;
}

/* Whether the sender may use this nonce. */
static bool may_encrypt(struct oscore_context *context, const uint8_t *nonce)
{
        uint64_t number;

        if (!oscore_nonce_is_of(nonce, context->common_iv, span_of(context->sender_id, context->sender_id_n),
                                &number))
                return take_nonce(&context->owner->ledger, context, nonce);
        return oscore_sequence_use(context, number);
}

/* As RFC 8613, 7.4 wants a window: of numbers older than it remembers it says that they were there. */
static bool window_has(const struct oscore_window *window, uint64_t number)
{
        uint64_t age = window->newest - number;

        return window->used && number <= window->newest && (age > 63 || window->seen >> age & 1);
}

static void window_add(struct oscore_window *window, uint64_t number)
{
        uint64_t step = number - window->newest;

        if (window->used && number <= window->newest) {
                if (window->newest - number <= 63)
                        window->seen |= 1ULL << (window->newest - number);
                return;
        }
        window->seen = window->used && step <= 63 ? window->seen << step | 1 : 1;
        window->newest = number;
        window->used = true;
}

/* NULL: there is no memory for it. */
static struct oscore_window *window_at(struct oscore_recipient *recipient, size_t home)
{
        struct oscore_window *window = recipient->windows;

        while (window && window->home != home)
                window = window->next;
        if (window)
                return window;
        window = calloc(1, sizeof(*window));
        if (!window)
                return NULL;
        *window = (struct oscore_window){ .next = recipient->windows, .home = home };
        recipient->windows = window;
        return window;
}

/*
 * Whether a request came before: in another place that has its recipient, each of which has a replay window of
 * libcoap's that does not know of the others', or in this one. libcoap (4.3.4 and 4.3.5, coap_oscore_decrypt_pdu())
 * takes a number below the newest for the newest, once it has come late: all above it are new to it then.
 */
static bool is_replay(const struct oscore_key *key, const uint8_t *nonce)
{
        struct oscore_context *context = key->context;
        const struct oscore *oscore = context->owner;
        struct oscore_recipient *recipient = key->recipient;
        struct oscore_window *here;
        uint64_t number;

        if (!oscore_nonce_is_of(nonce, context->common_iv, span_of(recipient->id, recipient->id_n), &number))
                return false;
        here = window_at(recipient, oscore->store && oscore->store->shard
                                            ? oscore->store->shard(oscore->store->user)
                                            : 0);
        if (!here || window_has(here, number))
                return true;
        for (const struct oscore_window *window = recipient->windows; window; window = window->next) {
                if (context->streams && window_has(window, number))
                        return true;
        }
        window_add(here, number);
        return false;
}

static void note_decrypted(const struct oscore_key *key, const uint8_t *nonce, const void *plaintext,
                           size_t n)
{
        struct oscore *oscore = key->context->owner;

        oscore->opened = true;
        enter_nonce(&oscore->ledger, key->context, nonce);
        buf_reset(&oscore->plaintext);
        buf_append(&oscore->plaintext, plaintext, n);
        oscore->decrypted_by = buf_ok(&oscore->plaintext) ? key->recipient : NULL;
        oscore->in_the_clear = false;
}

bool oscore_has_opened(struct oscore *oscore)
{
        bool opened = oscore->opened;

        oscore->opened = false;
        return opened;
}

static void forget_decrypted(void)
{
        for (struct oscore *o = watched; o; o = o->next) {
                if (o->plaintext.n)
                        explicit_bzero(o->plaintext.p, o->plaintext.n);
                buf_reset(&o->plaintext);
                o->decrypted_by = NULL;
        }
}

int gnutls_aead_cipher_init(gnutls_aead_cipher_hd_t *handle, gnutls_cipher_algorithm_t cipher,
                            const gnutls_datum_t *key)
{
        static __typeof__(gnutls_aead_cipher_init) *real;
        int r;

        if (!real)
                real = (__typeof__(real))dlsym(RTLD_NEXT, "gnutls_aead_cipher_init");
        r = real ? real(handle, cipher, key) : GNUTLS_E_UNIMPLEMENTED_FEATURE;
        if (r >= 0 && watched && key->size == OSCORE_KEY_SIZE) {
                latest.handle = *handle;
                memcpy(latest.key, key->data, OSCORE_KEY_SIZE);
        }
        return r;
}

int gnutls_aead_cipher_decrypt(gnutls_aead_cipher_hd_t handle, const void *nonce, size_t nonce_len,
                               const void *auth, size_t auth_len, size_t tag_size, const void *ctext,
                               size_t ctext_len, void *ptext, size_t *ptext_len)
{
        static __typeof__(gnutls_aead_cipher_decrypt) *real;
        const struct oscore_key *key = take_key_of(handle);
        int r;

        if (!real)
                real = (__typeof__(real))dlsym(RTLD_NEXT, "gnutls_aead_cipher_decrypt");
        forget_decrypted();
        r = real ? real(handle, nonce, nonce_len, auth, auth_len, tag_size, ctext, ctext_len, ptext,
                        ptext_len)
                 : GNUTLS_E_UNIMPLEMENTED_FEATURE;
        if (r >= 0 && key && key->recipient && nonce_len == OSCORE_NONCE_SIZE && is_replay(key, nonce)) {
                explicit_bzero(ptext, *ptext_len);
                return GNUTLS_E_DECRYPTION_FAILED;
        }
        if (r >= 0 && key && key->recipient && nonce_len == OSCORE_NONCE_SIZE)
                note_decrypted(key, nonce, ptext, *ptext_len);
        return r;
}

int gnutls_aead_cipher_encrypt(gnutls_aead_cipher_hd_t handle, const void *nonce, size_t nonce_len,
                               const void *auth, size_t auth_len, size_t tag_size, const void *ptext,
                               size_t ptext_len, void *ctext, size_t *ctext_len)
{
        static __typeof__(gnutls_aead_cipher_encrypt) *real;
        const struct oscore_key *key = take_key_of(handle);

        if (!real)
                real = (__typeof__(real))dlsym(RTLD_NEXT, "gnutls_aead_cipher_encrypt");
        forget_decrypted();
        if (key && !key->recipient && nonce_len == OSCORE_NONCE_SIZE &&
            (key->context->owner->in_the_clear || !may_encrypt(key->context, nonce)))
                return GNUTLS_E_ENCRYPTION_FAILED;
        return real ? real(handle, nonce, nonce_len, auth, auth_len, tag_size, ptext, ptext_len, ctext,
                           ctext_len)
                    : GNUTLS_E_UNIMPLEMENTED_FEATURE;
}
