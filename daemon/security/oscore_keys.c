/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HKDF-SHA-256 over the CBOR of RFC 8613, 3.2.1.
 */
#include "security/oscore_keys.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "security/identity.h"

#define AEAD_ALGORITHM 10 /* AES-CCM-16-64-128 in the COSE registry */
#define PARTIAL_IV_SIZE 5

/* A byte or text string of CBOR, shorter than 256 bytes. */
static void append_string(struct buf *b, uint8_t major, struct span s)
{
        if (s.n >= 24)
                buf_append_byte(b, major | 24);
        buf_append_byte(b, s.n >= 24 ? (uint8_t)s.n : (uint8_t)(major | s.n));
        buf_append_span(b, s);
}

static int derive(const struct oscore_master *master, struct span id, struct span type, uint8_t *out,
                  size_t n)
{
        CLEANUP(buf_deinit) struct buf info = { 0 };
        gnutls_datum_t secret = { (unsigned char *)master->secret.p, (unsigned)master->secret.n };
        gnutls_datum_t salt = { (unsigned char *)master->salt.p, (unsigned)master->salt.n };
        uint8_t extracted[32];
        int r;

        buf_append_byte(&info, 0x85); /* an array of five */
        append_string(&info, 0x40, id);
        if (master->id_context.n)
                append_string(&info, 0x40, master->id_context);
        else
                buf_append_byte(&info, 0xf6); /* nil */
        buf_append_byte(&info, AEAD_ALGORITHM);
        append_string(&info, 0x60, type);
        buf_append_byte(&info, (uint8_t)n);
        if (!buf_ok(&info))
                return -EIO;
        r = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &secret, &salt, extracted);
        if (r >= 0)
                r = gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &(gnutls_datum_t){ extracted, sizeof(extracted) },
                                       &(gnutls_datum_t){ info.p, (unsigned)info.n }, out, n);
        explicit_bzero(extracted, sizeof(extracted));
        return r < 0 ? -EIO : 0;
}

int oscore_derive_key(const struct oscore_master *master, struct span id, uint8_t ret_key[OSCORE_KEY_SIZE])
{
        return derive(master, id, SPAN_LITERAL("Key"), ret_key, OSCORE_KEY_SIZE);
}

int oscore_derive_common_iv(const struct oscore_master *master, uint8_t ret_iv[OSCORE_NONCE_SIZE])
{
        return derive(master, span_of(NULL, 0), SPAN_LITERAL("IV"), ret_iv, OSCORE_NONCE_SIZE);
}

int oscore_sequence_name(const uint8_t sender_key[OSCORE_KEY_SIZE], enum oscore_range range,
                         char ret_name[OSCORE_NAME_SIZE])
{
        static const char *const labels[] = {
                [OSCORE_DATAGRAMS] = "coapd sender sequence number",
                [OSCORE_STREAMS] = "coapd sender sequence number on streams",
                [OSCORE_STREAMS_TOO] = "coapd sender sequence number on streams, the other range",
        };
        const char *label = labels[range];
        uint8_t digest[32];

        if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, sender_key, OSCORE_KEY_SIZE, label, strlen(label) + 1,
                             digest) < 0)
                return -EIO;
        identity_hex(digest, (OSCORE_NAME_SIZE - 1) / 2, ret_name);
        ret_name[OSCORE_NAME_SIZE - 1] = '\0';
        return 0;
}

bool oscore_nonce_is_of(const uint8_t nonce[OSCORE_NONCE_SIZE], const uint8_t common_iv[OSCORE_NONCE_SIZE],
                        struct span id, uint64_t *ret_partial_iv)
{
        uint8_t plain[OSCORE_NONCE_SIZE], expected[OSCORE_NONCE_SIZE - PARTIAL_IV_SIZE] = { (uint8_t)id.n };
        uint64_t partial_iv = 0;

        for (size_t i = 0; i < OSCORE_NONCE_SIZE; i++)
                plain[i] = nonce[i] ^ common_iv[i];
        if (id.n)
                memcpy(expected + sizeof(expected) - id.n, id.p, id.n);
        for (size_t i = sizeof(expected); i < OSCORE_NONCE_SIZE; i++)
                partial_iv = partial_iv << 8 | plain[i];
        *ret_partial_iv = partial_iv;
        return memcmp(plain, expected, sizeof(expected)) == 0;
}
