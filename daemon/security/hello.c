/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cookies with a key that changes every few minutes; the one before it is still good for those on their way.
 */
#include "security/hello.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnutls/dtls.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/util.h"
#include "security/identity.h"
#include "security/interpose.h"

#define KEY_LIFE_S 600
#define CONTROL_SIZE 64

/* Places in a record (RFC 6347, 4.1) that holds a handshake message (4.2.2), and what is expected there. */
#define TYPE_HANDSHAKE 22
#define AT_EPOCH 3
#define AT_MESSAGE_TYPE 13
#define TYPE_CLIENT_HELLO 1
#define AT_RANDOM 27
#define RANDOM_SIZE 32

/* What a cookie stands for. */
struct source {
        uint8_t address[16];
        uint16_t port;
        uint16_t family;
};

struct hello {
        gnutls_datum_t keys[2]; /* the present one, and the one before */
        int64_t changed;
};

/*
 * The hello that libcoap gets next: in between the two nothing else happens. As in tls.c, a function that is
 * found by its name has no user pointer.
 */
static struct {
        const gnutls_datum_t *key; /* NULL: none */
        struct source source;
} passed;

typedef int verify_function(gnutls_datum_t *, void *, size_t, void *, size_t, gnutls_dtls_prestate_st *);

static verify_function *real_verify(void)
{
        static verify_function *real;

        if (!real)
                real = (verify_function *)dlsym(RTLD_NEXT, "gnutls_dtls_cookie_verify");
        return real;
}

int gnutls_dtls_cookie_verify(gnutls_datum_t *key, void *client_data, size_t client_data_size, void *msg,
                              size_t msg_size, gnutls_dtls_prestate_st *prestate)
{
        gnutls_datum_t ours;

        if (!passed.key)
                return real_verify()(key, client_data, client_data_size, msg, msg_size, prestate);
        ours = *passed.key;
        passed.key = NULL;
        return real_verify()(&ours, &passed.source, sizeof(passed.source), msg, msg_size, prestate);
}

int hello_new(struct hello **ret_hello)
{
        struct hello *hello = STANDS_FIRST(gnutls_dtls_cookie_verify) ? calloc(1, sizeof(*hello)) : NULL;

        if (!hello || gnutls_key_generate(&hello->keys[0], GNUTLS_COOKIE_KEY_SIZE) < 0 ||
            gnutls_key_generate(&hello->keys[1], GNUTLS_COOKIE_KEY_SIZE) < 0) {
                hello_free(hello);
                return -ENOMEM;
        }
        *ret_hello = hello;
        return 0;
}

void hello_free(struct hello *hello)
{
        if (!hello)
                return;
        passed.key = NULL;
        for (size_t i = 0; i < ARRAY_LEN(hello->keys); i++) {
                if (hello->keys[i].data)
                        explicit_bzero(hello->keys[i].data, hello->keys[i].size);
                gnutls_free(hello->keys[i].data);
        }
        free(hello);
}

static void change_key(struct hello *hello, int64_t now)
{
        gnutls_datum_t fresh;

        if (now - hello->changed < KEY_LIFE_S)
                return;
        if (hello->changed && gnutls_key_generate(&fresh, GNUTLS_COOKIE_KEY_SIZE) >= 0) {
                gnutls_free(hello->keys[1].data);
                hello->keys[1] = hello->keys[0];
                hello->keys[0] = fresh;
        }
        hello->changed = now;
}

static bool is_client_hello(const uint8_t *p, size_t n)
{
        return n > AT_MESSAGE_TYPE && p[0] == TYPE_HANDSHAKE && p[AT_EPOCH] == 0 && p[AT_EPOCH + 1] == 0 &&
               p[AT_MESSAGE_TYPE] == TYPE_CLIENT_HELLO;
}

static struct source source_of(const struct msghdr *message)
{
        struct sockaddr_storage address = { 0 }; /* libcoap's are not aligned for what they are cast to */
        struct identity who = { .kind = IDENTITY_NONE };
        struct source source = { 0 };

        memcpy(&address, message->msg_name, MIN(message->msg_namelen, sizeof(address)));
        source.family = address.ss_family;
        identity_set_address(&who, (const struct sockaddr *)&address);
        if (who.has_address)
                memcpy(source.address, who.address, sizeof(source.address));
        if (address.ss_family == AF_INET)
                source.port = ((const struct sockaddr_in *)&address)->sin_port;
        else if (address.ss_family == AF_INET6)
                source.port = ((const struct sockaddr_in6 *)&address)->sin6_port;
        return source;
}

/* The way back: to where the hello came from, from the address that it was sent to. */
struct reply {
        int fd;
        struct msghdr message;
        _Alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
};

static void set_local_address(struct reply *reply, const struct msghdr *hello)
{
        const struct cmsghdr *from = CMSG_FIRSTHDR(hello);
        struct cmsghdr *to = (void *)reply->control;
        struct in6_pktinfo six;
        struct in_pktinfo four;

        if (!from || from->cmsg_len > CONTROL_SIZE)
                return;
        memcpy(to, from, from->cmsg_len);
        if (from->cmsg_level == IPPROTO_IP && from->cmsg_type == IP_PKTINFO) {
                memcpy(&four, CMSG_DATA(to), sizeof(four));
                four.ipi_ifindex = 0; /* by the routes, as libcoap does */
                memcpy(CMSG_DATA(to), &four, sizeof(four));
        } else if (from->cmsg_level == IPPROTO_IPV6 && from->cmsg_type == IPV6_PKTINFO) {
                memcpy(&six, CMSG_DATA(to), sizeof(six));
                if (IN6_IS_ADDR_MULTICAST(&six.ipi6_addr))
                        return;
                if (!IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
                        six.ipi6_ifindex = 0;
                memcpy(CMSG_DATA(to), &six, sizeof(six));
        } else {
                return;
        }
        reply->message.msg_control = reply->control;
        reply->message.msg_controllen = CMSG_SPACE(from->cmsg_len - CMSG_LEN(0));
}

static ssize_t send_reply(gnutls_transport_ptr_t userdata, const void *p, size_t n)
{
        struct reply *reply = userdata;
        struct iovec piece = { (void *)p, n };

        reply->message.msg_iov = &piece;
        reply->message.msg_iovlen = 1;
        return sendmsg(reply->fd, &reply->message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

enum hello_verdict hello_check(struct hello *hello, int fd, const struct msghdr *message, size_t n,
                               int64_t now)
{
        uint8_t *p = message->msg_iov[0].iov_base;
        struct source source;
        gnutls_dtls_prestate_st prestate = { 0 }, unused = { 0 };
        struct reply reply = { .fd = fd };

        passed.key = NULL;
        if (!is_client_hello(p, n))
                return HELLO_OTHER;
        change_key(hello, now);
        source = source_of(message);
        for (size_t i = 0; i < ARRAY_LEN(hello->keys); i++) {
                if (real_verify()(&hello->keys[i], &source, sizeof(source), p, n, i ? &unused : &prestate) <
                    0)
                        continue;
                passed.key = &hello->keys[i];
                passed.source = source;
                return HELLO_GOOD;
        }
        reply.message = (struct msghdr){ .msg_name = message->msg_name, .msg_namelen = message->msg_namelen };
        set_local_address(&reply, message);
        gnutls_dtls_cookie_send(&hello->keys[0], &source, sizeof(source), &prestate, &reply, send_reply);
        return HELLO_ANSWERED;
}

struct span hello_random(struct span datagram)
{
        return datagram.n < AT_RANDOM + RANDOM_SIZE ? span_of(NULL, 0)
                                                    : span_of(datagram.p + AT_RANDOM, RANDOM_SIZE);
}
