/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links whose messages are protected by OSCORE (RFC 8613), over other links: AES-CCM-16-64-128 and
 * HKDF-SHA-256, one security context for all. Answers are decrypted and verified, as a client has to. No
 * Observe.
 */
#include "load_links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/util.h"

enum {
        KEY_SIZE = 16,
        NONCE_SIZE = 13,
        TAG_SIZE = 8,
        ID_MAX = 7,
        PIV_MAX = 5,
        ALGORITHM = 10, /* AES-CCM-16-64-128 in COSE */
        SLOTS = 65536,
        PLAIN_MAX = 1280,
        PROBE_TOKEN = 0xffff,
        PROBES = 50,
        FLAG_KID = 0x08,
        CODE_POST = 2,
        CODE_UNAUTHORIZED = 4 << 5 | 1,
};

struct bytes {
        uint8_t p[64];
        size_t n;
};

struct oscore_links {
        struct links links; /* first */
        struct links *under;
        struct bytes secret, salt, sender, recipient, context;
        bool has_context;
        uint8_t common_iv[NONCE_SIZE];
        gnutls_aead_cipher_hd_t sending, receiving;
        uint64_t sequence;
        uint64_t *sequences;   /* of the request under way with this token, by its low 16 bits */
        struct message answer; /* to the probe */
        bool answered, protected;
        struct bytes echo;
};

/* --- context --- */

static uint8_t *cbor_head(uint8_t *out, uint8_t major, size_t n)
{
        if (n < 24) {
                *out++ = (uint8_t)(major << 5 | n);
        } else {
                *out++ = (uint8_t)(major << 5 | 24);
                *out++ = (uint8_t)n;
        }
        return out;
}

static uint8_t *cbor_bytes(uint8_t *out, uint8_t major, const void *p, size_t n)
{
        out = cbor_head(out, major, n);
        if (n)
                memcpy(out, p, n);
        return out + n;
}

/* RFC 8613, 3.2.1. */
static int derive(const struct oscore_links *self, const struct bytes *id, const char *type, uint8_t *out,
                  size_t n)
{
        uint8_t info[160], *at = info, extracted[32];
        gnutls_datum_t secret = { (unsigned char *)(uintptr_t)self->secret.p, (unsigned)self->secret.n };
        gnutls_datum_t salt = { (unsigned char *)(uintptr_t)self->salt.p, (unsigned)self->salt.n };
        gnutls_datum_t key = { extracted, sizeof(extracted) };

        at = cbor_head(at, 4, 5);
        at = cbor_bytes(at, 2, id ? id->p : NULL, id ? id->n : 0);
        if (self->has_context)
                at = cbor_bytes(at, 2, self->context.p, self->context.n);
        else
                *at++ = 0xf6; /* nil */
        at = cbor_head(at, 0, ALGORITHM);
        at = cbor_bytes(at, 3, type, strlen(type));
        at = cbor_head(at, 0, n);

        gnutls_datum_t about = { info, (unsigned)(at - info) };
        int r = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &secret, &salt, extracted);

        return r < 0 ? r : gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &key, &about, out, n);
}

static int make_cipher(const struct oscore_links *self, const struct bytes *id, gnutls_aead_cipher_hd_t *ret)
{
        uint8_t key[KEY_SIZE];
        gnutls_datum_t datum = { key, sizeof(key) };
        int r = derive(self, id, "Key", key, sizeof(key));

        return r < 0 ? r : gnutls_aead_cipher_init(ret, GNUTLS_CIPHER_AES_128_CCM_8, &datum);
}

/* RFC 8613, 5.2. */
static void make_nonce(const struct oscore_links *self, const struct bytes *id, const uint8_t *piv,
                       size_t n_piv, uint8_t out[NONCE_SIZE])
{
        memset(out, 0, NONCE_SIZE);
        out[0] = (uint8_t)id->n;
        memcpy(out + 1 + ID_MAX - id->n, id->p, id->n);
        memcpy(out + NONCE_SIZE - n_piv, piv, n_piv);
        for (size_t i = 0; i < NONCE_SIZE; i++)
                out[i] ^= self->common_iv[i];
}

/* RFC 8613, 5.4: what is authenticated beside the text, the same for a request and its answer. */
static size_t make_aad(const struct oscore_links *self, const uint8_t *piv, size_t n_piv, uint8_t *out)
{
        uint8_t external[40], *at = external;

        at = cbor_head(at, 4, 5);
        at = cbor_head(at, 0, 1); /* OSCORE version */
        at = cbor_head(at, 4, 1);
        at = cbor_head(at, 0, ALGORITHM);
        at = cbor_bytes(at, 2, self->sender.p, self->sender.n);
        at = cbor_bytes(at, 2, piv, n_piv);
        at = cbor_head(at, 2, 0); /* class I options: none */

        uint8_t *end = cbor_head(out, 4, 3);

        end = cbor_bytes(end, 3, "Encrypt0", 8);
        end = cbor_head(end, 2, 0);
        end = cbor_bytes(end, 2, external, (size_t)(at - external));
        return (size_t)(end - out);
}

static size_t make_piv(uint64_t sequence, uint8_t out[PIV_MAX])
{
        size_t n = 1;

        while (n < PIV_MAX && sequence >> (8 * n))
                n++;
        for (size_t i = 0; i < n; i++)
                out[i] = (uint8_t)(sequence >> (8 * (n - 1 - i)));
        return n;
}

/* --- messages --- */

static uint8_t *write_option(const struct oscore_links *self, const uint8_t *piv, size_t n_piv, uint8_t *out)
{
        uint8_t value[1 + PIV_MAX + 1 + sizeof(self->context.p) + ID_MAX], *at = value;
        unsigned last = 0;

        *at++ = (uint8_t)(FLAG_KID | (self->has_context ? 0x10 : 0) | n_piv);
        memcpy(at, piv, n_piv);
        at += n_piv;
        if (self->has_context) {
                *at++ = (uint8_t)self->context.n;
                memcpy(at, self->context.p, self->context.n);
                at += self->context.n;
        }
        memcpy(at, self->sender.p, self->sender.n);
        at += self->sender.n;
        return option_write(out, &last, OPTION_OSCORE, value, (size_t)(at - value));
}

static void oscore_send(struct links *links, uint32_t link, const uint8_t *datagram, size_t n)
{
        struct oscore_links *self = (struct oscore_links *)links;
        uint8_t plain[PLAIN_MAX], out[PLAIN_MAX + 200], piv[PIV_MAX], nonce[NONCE_SIZE], aad[80];
        const size_t head = HEADER_SIZE + TOKEN_SIZE;
        uint32_t token;

        if (n < head || n > PLAIN_MAX) { /* empty messages are not protected */
                self->under->ops->send(self->under, link, datagram, n);
                return;
        }
        memcpy(&token, datagram + HEADER_SIZE, TOKEN_SIZE);
        self->sequences[token & 0xffff] = self->sequence;

        size_t n_piv = make_piv(self->sequence++, piv), n_aad = make_aad(self, piv, n_piv, aad);
        size_t n_plain = n - head + 1;

        plain[0] = datagram[1];
        memcpy(plain + 1, datagram + head, n - head);
        memcpy(out, datagram, head);
        out[1] = CODE_POST;
        uint8_t *at = write_option(self, piv, n_piv, out + head);

        *at++ = 0xff;
        size_t n_cipher = sizeof(out) - (size_t)(at - out);

        make_nonce(self, &self->sender, piv, n_piv, nonce);
        if (gnutls_aead_cipher_encrypt(self->sending, nonce, sizeof(nonce), aad, n_aad, TAG_SIZE, plain,
                                       n_plain, at, &n_cipher) < 0)
                links->send_errors++;
        else
                self->under->ops->send(self->under, link, out, (size_t)(at - out) + n_cipher);
}

static void oscore_flush(struct links *links)
{
        struct oscore_links *self = (struct oscore_links *)links;

        self->under->ops->flush(self->under);
}

/* The answer's own partial IV when it has one, else the request's. */
static void answer_nonce(const struct oscore_links *self, const struct message *message, const uint8_t *piv,
                         size_t n_piv, uint8_t nonce[NONCE_SIZE])
{
        size_t n = message->n_oscore ? message->oscore[0] & 7 : 0;

        if (n && n <= PIV_MAX && n < message->n_oscore)
                make_nonce(self, &self->recipient, message->oscore + 1, n, nonce);
        else
                make_nonce(self, &self->sender, piv, n_piv, nonce);
}

static void deliver(struct oscore_links *self, uint32_t link, const struct message *message)
{
        self->protected = true;
        self->links.receive(self->links.user, link, message);
}

static void oscore_receive(void *user, uint32_t link, const struct message *outer)
{
        struct oscore_links *self = user;
        uint8_t plain[PLAIN_MAX], piv[PIV_MAX], nonce[NONCE_SIZE], aad[80];
        size_t n_plain = sizeof(plain);
        struct message message = *outer;

        if (outer->code == 0 || !outer->has_oscore || !outer->has_token) {
                self->links.receive(self->links.user, link, outer);
                return;
        }
        size_t n_piv = make_piv(self->sequences[outer->token & 0xffff], piv),
               n_aad = make_aad(self, piv, n_piv, aad);

        answer_nonce(self, outer, piv, n_piv, nonce);
        if (outer->n_payload <= TAG_SIZE ||
            gnutls_aead_cipher_decrypt(self->receiving, nonce, sizeof(nonce), aad, n_aad, TAG_SIZE,
                                       outer->payload, outer->n_payload, plain, &n_plain) < 0 ||
            message_read_rest(plain, n_plain, &message) < 0)
                self->links.bad_messages++;
        else
                deliver(self, link, &message);
}

/* --- opening --- */

static void take_probe(void *user, uint32_t link, const struct message *message)
{
        struct oscore_links *self = user;

        (void)link;
        if (message->code == 0)
                return;
        self->answered = true;
        self->answer = *message;
        self->echo.n = MIN(message->n_echo, sizeof(self->echo.p));
        if (self->echo.n)
                memcpy(self->echo.p, message->echo, self->echo.n);
        if (message->type == MESSAGE_CON) {
                uint8_t ack[HEADER_SIZE];

                message_empty(MESSAGE_ACK, message->id, ack);
                oscore_send(&self->links, 0, ack, sizeof(ack));
        }
}

static int ask(struct oscore_links *self, const struct bytes *echo)
{
        struct request_shape shape = { .method = 1,
                                       .path = ".well-known/core",
                                       .query = "rt=none",
                                       .echo = echo ? echo->p : NULL,
                                       .n_echo = echo ? echo->n : 0 };
        struct template template;
        int r = template_init(&template, &shape);

        self->answered = self->protected = false;
        if (r < 0)
                return r;
        template_patch(&template, (uint16_t)self->sequence, PROBE_TOKEN, 0, 0);
        oscore_send(&self->links, 0, template.bytes, template.n);
        oscore_flush(&self->links);
        for (unsigned i = 0; i < PROBES && !self->answered && r == 0; i++)
                r = loop_turn(self->links.loop, now_ns() + 20 * NS_PER_MS);
        oscore_flush(&self->links);
        return r < 0 ? r : self->answered ? 0 : -ETIMEDOUT;
}

/* RFC 8613, B.1.2: a server that lost its replay window, or never had one, wants an Echo first. */
static int synchronise(struct oscore_links *self)
{
        int r;

        self->links.receive = take_probe;
        self->links.user = self;
        r = ask(self, NULL);
        if (r == 0 && self->answer.code == CODE_UNAUTHORIZED && self->echo.n) {
                struct bytes echo = self->echo;

                r = ask(self, &echo);
        }
        /* Whatever the resource says: what counts is that it came protected. */
        return r == 0 && !self->protected ? -EACCES : r;
}

static void oscore_close(struct links *links)
{
        struct oscore_links *self = (struct oscore_links *)links;

        if (self->sending)
                gnutls_aead_cipher_deinit(self->sending);
        if (self->receiving)
                gnutls_aead_cipher_deinit(self->receiving);
        self->under->ops->close(self->under);
        free(self->sequences);
        free(self);
}

static uint64_t oscore_drops(struct links *links)
{
        struct oscore_links *self = (struct oscore_links *)links;

        return self->under->ops->drops ? self->under->ops->drops(self->under) : 0;
}

static int read_hex(const char **text, struct bytes *ret, size_t max)
{
        unsigned byte;

        for (ret->n = 0; **text && **text != ':'; *text += 2) {
                if (ret->n == max || sscanf(*text, "%2x", &byte) != 1 || !(*text)[1])
                        return -EINVAL;
                ret->p[ret->n++] = (uint8_t)byte;
        }
        *text += **text == ':';
        return 0;
}

static int read_keys(struct oscore_links *self, const char *keys)
{
        if (read_hex(&keys, &self->secret, 64) < 0 || read_hex(&keys, &self->salt, 64) < 0 ||
            read_hex(&keys, &self->sender, ID_MAX) < 0)
                return -EINVAL;
        self->has_context = strchr(keys, ':') != NULL;
        if (read_hex(&keys, &self->recipient, ID_MAX) < 0 ||
            (self->has_context && read_hex(&keys, &self->context, 8) < 0))
                return -EINVAL;
        if (make_cipher(self, &self->sender, &self->sending) < 0 ||
            make_cipher(self, &self->recipient, &self->receiving) < 0 ||
            derive(self, NULL, "IV", self->common_iv, sizeof(self->common_iv)) < 0)
                return -EIO;
        return 0;
}

int oscore_wrap(struct links *under, const char *keys, struct links **ret)
{
        static const struct links_ops ops = { oscore_send, oscore_flush, oscore_drops, oscore_close };
        struct oscore_links *self = calloc(1, sizeof(*self));
        int r;

        if (!self)
                return -ENOMEM;
        *ret = &self->links; /* so that whoever closes `ret` closes all, whatever happens below */
        self->links = (struct links){ .ops = &ops, .loop = under->loop, .n = under->n };
        self->under = under;
        under->receive = oscore_receive;
        under->user = self;
        self->sequences = calloc(SLOTS, sizeof(self->sequences[0]));
        r = self->sequences ? read_keys(self, keys) : -ENOMEM;
        if (r == 0)
                r = synchronise(self);
        if (r < 0)
                fprintf(stderr, "load: OSCORE: %s\n", strerror(-r));
        return r;
}
