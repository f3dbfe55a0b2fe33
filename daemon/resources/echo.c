/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of the Echo option: four bytes of time and eight of HMAC-SHA-256; see echo.h. */
#include "resources/echo.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

enum { KEY_SIZE = 32, TIME_SIZE = 4, MAC_SIZE = ECHO_SIZE - TIME_SIZE, DIGEST_SIZE = 32, LIFETIME_S = 3600 };

struct echo {
        uint8_t key[KEY_SIZE]; /* of this process: after a restart addresses prove themselves anew */
};

int echo_new(struct echo **ret_echo)
{
        struct echo *echo = calloc(1, sizeof *echo);

        if (!echo)
                return -ENOMEM;
        if (gnutls_rnd(GNUTLS_RND_KEY, echo->key, sizeof echo->key) < 0) {
                free(echo);
                return -EIO;
        }
        *ret_echo = echo;
        return 0;
}

void echo_free(struct echo *echo)
{
        if (!echo)
                return;
        explicit_bzero(echo->key, sizeof echo->key);
        free(echo);
}

static uint32_t now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint32_t)now.tv_sec;
}

/* libcoap's addresses are not aligned for what they are cast to. */
static int mac(const struct echo *echo, const coap_address_t *peer, uint32_t time,
               uint8_t out[static DIGEST_SIZE])
{
        struct {
                uint32_t time, scope;
                uint8_t address[16];
                uint16_t family, port;
        } input = { .time = time, .family = peer->addr.sa.sa_family };
        struct sockaddr_in6 six;
        struct sockaddr_in four;

        if (input.family == AF_INET) {
                memcpy(&four, &peer->addr, sizeof four);
                memcpy(input.address, &four.sin_addr, sizeof four.sin_addr);
                input.port = four.sin_port;
        } else {
                memcpy(&six, &peer->addr, sizeof six);
                memcpy(input.address, &six.sin6_addr, sizeof six.sin6_addr);
                input.port = six.sin6_port;
                input.scope = six.sin6_scope_id;
        }
        return gnutls_hmac_fast(GNUTLS_MAC_SHA256, echo->key, sizeof echo->key, &input, sizeof input, out) < 0
                       ? -EIO
                       : 0;
}

int echo_make(const struct echo *echo, const coap_address_t *peer, uint8_t ret_value[static ECHO_SIZE])
{
        uint8_t digest[DIGEST_SIZE];
        uint32_t time = now_s();
        int r = mac(echo, peer, time, digest);

        if (r < 0)
                return r;
        memcpy(ret_value, &time, TIME_SIZE);
        memcpy(ret_value + TIME_SIZE, digest, MAC_SIZE);
        return 0;
}

bool echo_check(const struct echo *echo, const coap_address_t *peer, struct span value)
{
        uint8_t digest[DIGEST_SIZE];
        uint32_t time;

        if (value.n != ECHO_SIZE)
                return false;
        memcpy(&time, value.p, TIME_SIZE);
        /* One of the future is none of ours, and wraps around. */
        if (now_s() - time > LIFETIME_S || mac(echo, peer, time, digest) < 0)
                return false;
        return gnutls_memcmp(value.p + TIME_SIZE, digest, MAC_SIZE) == 0;
}
