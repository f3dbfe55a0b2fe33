/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of the kind `proxy`. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "resources/proxy_internal.h"

enum { KEY_MOST = 64, PATH_MOST = 1024 };

static const char *parse(const char *target, coap_uri_t *ret_uri)
{
        if (coap_split_uri((const uint8_t *)target, strlen(target), ret_uri) < 0 ||
            ret_uri->query.length > 0 || ret_uri->path.length > PATH_MOST || ret_uri->host.length == 0 ||
            ret_uri->host.length >= sizeof((struct upstream *)0)->host || strchr(target, '?'))
                return "a URI such as \"coap://192.0.2.1:5683/sensors\"";
        switch (ret_uri->scheme) {
        case COAP_URI_SCHEME_COAP:
        case COAP_URI_SCHEME_COAPS:
        case COAP_URI_SCHEME_COAP_TCP:
        case COAP_URI_SCHEME_COAPS_TCP:
                return NULL;
        default:
                return "a URI with coap, coaps, coap+tcp or coaps+tcp";
        }
}

static const char *check_target(const char *value)
{
        coap_uri_t uri;

        return parse(value, &uri);
}

#define ROW_OF(type_, member) .type = (type_), .offset = offsetof(struct proxy_conf, member)
#define FILE_FLAGS (CONF_RELOAD | CONF_PATH | CONF_KEY_FILE)

const struct conf_row proxy_rows[PROXY_ROWS] = {
        { .key = "target",
          ROW_OF(CONF_STRING, target),
          .flags = CONF_RELOAD,
          .check = check_target,
          .doc = "The other server, and the path there that stands for this resource: coap:// (UDP), "
                 "coaps:// (DTLS), "
                 "coap+tcp:// or coaps+tcp:// (TLS). A name is looked up when a session with it begins, "
                 "without holding "
                 "up anything else.",
          .example = "\"coap://192.0.2.1:5683/sensors\"" },
        { .key = "targets",
          ROW_OF(CONF_STRINGS, targets),
          .flags = CONF_RELOAD,
          .check = check_target,
          .doc = "In place of target: the servers that a forward proxy may be asked for, each with a path "
                 "that "
                 "requests have to begin with, if any. No others are asked, whatever a client wants: there "
                 "is no "
                 "wildcard. Each has a session of its own, while it is used.",
          .example = "( \"coap://192.0.2.1\", \"coap://[2001:db8::7]:61616/sensors\" )" },
        { .key = "identity",
          ROW_OF(CONF_STRING, identity),
          .flags = CONF_RELOAD,
          .min = 1,
          .max = KEY_MOST,
          .doc = "With a secure target: who coapd is there, by a pre-shared key.",
          .example = "\"gateway-1\"" },
        { .key = "key",
          ROW_OF(CONF_STRING, key),
          .flags = CONF_RELOAD | CONF_SECRET,
          .min = 1,
          .max = KEY_MOST,
          .doc = "The pre-shared key as text. Better kept in a file of its own: key_file.",
          .example = "\"a long random text\"" },
        { .key = "key_file",
          ROW_OF(CONF_STRING, key_file),
          .flags = FILE_FLAGS | CONF_PRIVATE,
          .doc = "A file with the pre-shared key. A newline at its end is not part of the key.",
          .example = "\"/etc/coapd/gateway-1.key\"" },
        { .key = "ca",
          ROW_OF(CONF_STRING, ca),
          .flags = FILE_FLAGS,
          .doc = "With a secure target that has a certificate: a file with the certificates of those who may "
                 "have "
                 "signed it. It has to name the target's host. Left out: those whom this system trusts, "
                 "/etc/ssl/certs/ca-certificates.crt, or what SSL_CERT_FILE in the environment names.",
          .example = "\"/etc/coapd/ca.pem\"" },
        { .key = "certificate",
          ROW_OF(CONF_STRING, certificate),
          .flags = FILE_FLAGS,
          .doc = "The certificate that coapd shows to the target, with its chain, in PEM.",
          .example = "\"/etc/coapd/gateway-1.pem\"" },
        { .key = "private_key",
          ROW_OF(CONF_STRING, private_key),
          .flags = FILE_FLAGS | CONF_PRIVATE,
          .doc = "Its private key, in PEM.",
          .example = "\"/etc/coapd/gateway-1.key.pem\"" },
        { .key = "timeout",
          ROW_OF(CONF_INT, timeout),
          .flags = CONF_RELOAD,
          .fallback = "60",
          .min = 1,
          .max = 3600,
          .unit = "seconds",
          .doc = "How long the target may take to answer. Then the client is told 5.04 (Gateway Timeout)." },
        { .key = "session_timeout",
          ROW_OF(CONF_INT, session_timeout),
          .flags = CONF_RELOAD,
          .fallback = "60",
          .min = 1,
          .max = 86400,
          .unit = "seconds",
          .doc = "How long a session with the target is kept that nobody uses." },
        { .key = "parallel",
          ROW_OF(CONF_INT, parallel),
          .flags = CONF_RELOAD,
          .fallback = "1",
          .min = 1,
          .max = 255,
          .unit = "requests",
          .doc = "How many requests over UDP or DTLS the target may be sent before it has acknowledged the "
                 "first "
                 "(NSTART of RFC 7252, 4.7). More than 1 is for a network that is known to bear it." },
        { .key = "cache_entries",
          ROW_OF(CONF_INT, cache_entries),
          .flags = CONF_RELOAD,
          .fallback = "1000",
          .min = 0,
          .max = 1000000,
          .unit = "answers",
          .doc = "How many answers of the target are kept, each as long as its Max-Age says. 0: none. An "
                 "answer that is "
                 "too old is asked for by its ETag." },
        { .key = "cache_bytes",
          ROW_OF(CONF_INT, cache_bytes),
          .flags = CONF_RELOAD,
          .fallback = "16777216",
          .min = 0,
          .max = 1LL << 40,
          .unit = "bytes",
          .doc = "How much memory their contents may take." },
        { .key = "max_size",
          ROW_OF(CONF_INT, max_size),
          .flags = CONF_RELOAD,
          .fallback = "1048576",
          .min = 64,
          .max = 1LL << 30,
          .unit = "bytes",
          .doc = "The largest body that goes through, either way." },
};

/* Both as OpenSSL has it, and with it much else on Debian. */
const char *proxy_system_ca(void)
{
        const char *file = secure_getenv("SSL_CERT_FILE");

        return file ? file : "/etc/ssl/certs/ca-certificates.crt";
}

/* One that cannot be read has been complained of. */
static bool is_secure(const char *target)
{
        coap_uri_t uri;

        return !parse(target, &uri) && coap_uri_scheme_is_secure(&uri);
}

static int read_key(const struct proxy_conf *conf, struct buf *key)
{
        CLEANUP(closep) int fd = -1;
        uint8_t bytes[KEY_MOST + 3]; /* with the end of the line, and one too many */
        ssize_t n;

        if (conf->key)
                buf_append_string(key, conf->key);
        if (!conf->key_file)
                return buf_ok(key) ? 0 : -ENOMEM;
        fd = open(conf->key_file, O_RDONLY | O_CLOEXEC);
        n = fd >= 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (n < 0)
                return -errno;
        if (n > 0 && bytes[n - 1] == '\n')
                n--;
        if (n > 0 && bytes[n - 1] == '\r')
                n--;
        if (n > 0 && n <= KEY_MOST)
                buf_append(key, bytes, (size_t)n);
        explicit_bzero(bytes, sizeof bytes);
        return n > 0 && n <= KEY_MOST ? 0 : -EINVAL;
}

static bool holds_no_key(const struct proxy_conf *conf)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        int r = conf->key_file ? read_key(conf, &key) : 0;

        if (key.n > 0)
                explicit_bzero(key.p, key.n);
        return r == -EINVAL;
}

const char *proxy_check(const void *fields, const void **ret_member)
{
        const struct proxy_conf *conf = fields;
        bool psk = conf->identity || conf->key || conf->key_file;
        bool pki = conf->ca || conf->certificate || conf->private_key;
        bool secure = conf->target && is_secure(conf->target);

        for (size_t i = 0; i < conf->targets.n; i++)
                secure |= is_secure(conf->targets.v[i]);
        *ret_member = &conf->target;
        if (!conf->target == !conf->targets.n)
                return "expected either target, or targets for a forward proxy";
        if (!secure && (psk || pki))
                return "has keys, but this is no secure target, expected coaps:// or coaps+tcp://";
        if (secure && psk && pki)
                return "is a secure target, expected either identity and key_file, or certificates";
        *ret_member = &conf->identity;
        if (psk && (!conf->identity || !conf->key == !conf->key_file))
                return "expected an identity, and either key or key_file";
        *ret_member = &conf->key_file;
        if (holds_no_key(conf))
                return "holds no key, expected one of 1 to 64 bytes";
        *ret_member = &conf->ca;
        if (secure && !psk && !conf->ca && access(proxy_system_ca(), R_OK) < 0)
                return "expected ca, or identity and key_file: this system has no list of its own of whom to "
                       "trust";
        if (!conf->certificate != !conf->private_key)
                return "expected both or none of certificate and private_key";
        return NULL;
}

static coap_proto_t proto_of(coap_uri_scheme_t scheme)
{
        switch (scheme) {
        case COAP_URI_SCHEME_COAPS:
                return COAP_PROTO_DTLS;
        case COAP_URI_SCHEME_COAP_TCP:
                return COAP_PROTO_TCP;
        case COAP_URI_SCHEME_COAPS_TCP:
                return COAP_PROTO_TLS;
        default:
                return COAP_PROTO_UDP;
        }
}

static bool is_address(const char *host)
{
        struct in6_addr address;

        return strchr(host, ':') || inet_pton(AF_INET, host, &address) == 1;
}

int proxy_read_path(const coap_uri_t *uri, struct buf *base)
{
        uint8_t options[2 * PATH_MOST];
        size_t size = sizeof options;
        int n = uri->path.length ? coap_split_path(uri->path.s, uri->path.length, options, &size) : 0;
        const uint8_t *p = options;

        if (n < 0)
                return -EINVAL;
        for (int i = 0; i < n; i++) {
                size_t length = coap_opt_length(p);

                options_add(base, COAP_OPTION_URI_PATH, span_of(coap_opt_value(p), length));
                p = coap_opt_value(p) + length;
        }
        return buf_ok(base) ? 0 : -ENOMEM;
}

int proxy_read_target(const struct proxy_conf *conf, struct upstream *upstream)
{
        coap_uri_t uri;
        int r;

        if (parse(conf->target, &uri))
                return -EINVAL;
        upstream->proto = proto_of(uri.scheme);
        upstream->port = uri.port;
        memcpy(upstream->host, uri.host.s, uri.host.length);
        upstream->host[uri.host.length] = '\0';
        upstream->is_name = !is_address(upstream->host);
        r = proxy_read_path(&uri, &upstream->base);
        return r < 0 ? r : read_key(conf, &upstream->key);
}

/* --- copies --- */

enum { STRINGS = 7 };

static char **string_at(struct proxy_conf *conf, size_t i)
{
        char **const strings[STRINGS] = { &conf->target,     &conf->identity, &conf->key,
                                          &conf->key_file,   &conf->ca,       &conf->certificate,
                                          &conf->private_key };

        return strings[i];
}

void proxy_conf_free(struct proxy_conf *conf)
{
        if (!conf)
                return;
        if (conf->key)
                explicit_bzero(conf->key, strlen(conf->key));
        for (size_t i = 0; i < STRINGS; i++)
                free(*string_at(conf, i));
        free(conf);
}

void proxy_conf_take_numbers(struct proxy_conf *to, const struct proxy_conf *from)
{
        to->timeout = from->timeout;
        to->session_timeout = from->session_timeout;
        to->parallel = from->parallel;
        to->cache_entries = from->cache_entries;
        to->cache_bytes = from->cache_bytes;
        to->max_size = from->max_size;
}

struct proxy_conf *proxy_conf_copy(const struct proxy_conf *conf)
{
        struct proxy_conf *copy = calloc(1, sizeof *copy);
        struct proxy_conf from = *conf;

        if (!copy)
                return NULL;
        proxy_conf_take_numbers(copy, conf);
        copy->link = conf->link;
        for (size_t i = 0; i < STRINGS; i++) {
                const char *string = *string_at(&from, i);

                *string_at(copy, i) = string ? strdup(string) : NULL;
                if (!string || *string_at(copy, i))
                        continue;
                proxy_conf_free(copy);
                return NULL;
        }
        return copy;
}

bool proxy_conf_same_way(const struct proxy_conf *a, const struct proxy_conf *b)
{
        struct proxy_conf one = *a, two = *b;

        for (size_t i = 0; i < STRINGS; i++)
                if (!span_equal(span_of_string(*string_at(&one, i)), span_of_string(*string_at(&two, i))))
                        return false;
        return true;
}
