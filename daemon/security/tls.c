/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The meeting of libcoap and GnuTLS: credentials go in, identities come out.
 */
#include "security/tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/message_ids.h"
#include "base/peer_name.h"
#include "base/util.h"
#include "security/interpose.h"
#include "security/peers.h"

#define DAY_S (24 * 3600L)
#define LIBCOAP_MOST 1000000 /* handshakes on their way that libcoap takes: our own bound is below */

struct tls {
        coap_context_t *const *contexts;
        size_t n;
        struct keys *keys;
        struct peers peers;
        time_t next_warning;
        struct tls *next;
};

/*
 * All contexts with keys of ours. An exception to "no mutable globals": the function that GnuTLS and libcoap
 * share by its name has no user pointer.
 */
static struct tls *attached;

/* A device with a mistyped name, or one that was forgotten here, hears no more than that the handshake fails. */
static void tell_unknown(const struct peer *peer, struct span name)
{
        static struct log_gate gate = { .burst = 10, .interval_s = 60 };
        char address[PEER_NAME], identity[168];

        peer_name(&coap_session_get_addr_remote(peer->session)->addr.sa, address);
        snprintf(identity, sizeof(identity), "psk:%s", LOG_ESCAPE(name));
        log_gated(&gate, LOG_NOTICE,
                  &(struct log_fields){
                          .message_id = MESSAGE_IDENTITY_UNKNOWN, .peer = address, .identity = identity },
                  "%s: its pre-shared key is refused: security.psk has no identity \"%s\"", address,
                  identity + strlen("psk:"));
}

int tls_give_key(gnutls_session_t gnutls, const gnutls_datum_t *username, gnutls_datum_t *key)
{
        const struct peer *peer = peer_of(gnutls);
        const struct secret *secret =
                peer ? psk_find(peer->set->psk, span_of(username->data, username->size)) : NULL;

        if (!secret && peer)
                tell_unknown(peer, span_of(username->data, username->size));
        if (!secret)
                return 1; /* GnuTLS makes a key up and goes on, so that it fails like a wrong key */
        key->data = gnutls_malloc(secret->n);
        if (!key->data)
                return -1;
        memcpy(key->data, secret->p, secret->n);
        key->size = (unsigned)secret->n;
        return 0;
}

int tls_verify(gnutls_session_t gnutls)
{
        static struct log_gate gate = { .burst = 10, .interval_s = 60 };
        gnutls_alert_description_t alert = GNUTLS_A_HANDSHAKE_FAILURE;
        struct peer *peer = peer_of(gnutls);
        unsigned n = 0;
        const gnutls_datum_t *chain = gnutls_certificate_get_peers(gnutls, &n);
        char address[PEER_NAME];
        const char *why;

        if (!peer || !peer->set->pki)
                return GNUTLS_E_CERTIFICATE_ERROR;
        if (n == 0 && pki_request(peer->set->pki) != GNUTLS_CERT_REQUIRE)
                return 0;
        why = pki_judge(peer->set->pki, gnutls_certificate_type_get2(gnutls, GNUTLS_CTYPE_CLIENT), chain, n,
                        &alert);
        if (!why)
                return 0;
        peer_name(&coap_session_get_addr_remote(peer->session)->addr.sa, address);
        log_gated(&gate, LOG_NOTICE,
                  &(struct log_fields){ .message_id = MESSAGE_CERTIFICATE_REFUSED, .peer = address },
                  "%s: its certificate is refused: %s", address, why);
        gnutls_alert_send(gnutls, GNUTLS_AL_FATAL, alert);
        return GNUTLS_E_CERTIFICATE_ERROR;
}

static int install_credentials(gnutls_session_t gnutls, const struct key_set *set)
{
        int r = 0;

        gnutls_credentials_clear(gnutls);
        if (set->psk)
                r = gnutls_credentials_set(gnutls, GNUTLS_CRD_PSK, psk_credentials(set->psk));
        if (r >= 0 && set->pki) {
                r = gnutls_credentials_set(gnutls, GNUTLS_CRD_CERTIFICATE, pki_credentials(set->pki));
                gnutls_certificate_server_set_request(gnutls, pki_request(set->pki));
        }
        return r;
}

/* Changes to the keys of the name that the client asks for. */
static int heed_server_name(gnutls_session_t gnutls, struct peer *peer)
{
        char name[256];
        size_t n = sizeof(name) - 1;
        const struct key_set *set;
        unsigned type;

        if (gnutls_server_name_get(gnutls, name, &n, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
                return 0;
        name[n] = '\0';
        set = keys_for(peer->keys, name);
        if (set == peer->set)
                return 0;
        free(peer->server_name);
        peer->server_name = strdup(name);
        if (!peer->server_name)
                return GNUTLS_E_MEMORY_ERROR;
        peer->set = set;
        return install_credentials(gnutls, set);
}

/* The client's offer is known, and nothing chosen yet. libcoap has set its own priorities on the way here. */
static int on_client_hello(gnutls_session_t gnutls)
{
        struct peer *peer = peer_of(gnutls);
        gnutls_protocol_t version = gnutls_protocol_get_version(gnutls);
        int r;

        if (!peer)
                return GNUTLS_E_INSUFFICIENT_CREDENTIALS;
        if (version != GNUTLS_TLS1_3 && version != GNUTLS_TLS1_2 && version != GNUTLS_DTLS1_2)
                return GNUTLS_E_UNSUPPORTED_VERSION_PACKET;
        r = heed_server_name(gnutls, peer);
        return r < 0 ? r : gnutls_priority_set(gnutls, peer->set->priority);
}

static size_t find_context(const struct tls *tls, const coap_context_t *context)
{
        size_t i = 0;

        while (i < tls->n && tls->contexts[i] != context)
                i++;
        return i;
}

static struct tls *find_tls(const coap_context_t *context)
{
        struct tls *tls = attached;

        while (tls && find_context(tls, context) == tls->n)
                tls = tls->next;
        return tls;
}

size_t tls_home(const struct tls *tls, const struct peer_address *at)
{
        const struct peer *peer = peers_find(&tls->peers, at);

        return peer ? find_context(tls, coap_session_get_context(peer->session)) : tls->n;
}

static void prepare_session(struct tls *tls, gnutls_session_t gnutls, coap_session_t *session)
{
        time_t now = time(NULL);

        if (!peer_new(&tls->peers, tls->keys, gnutls, session) ||
            install_credentials(gnutls, keys_for(tls->keys, NULL)) < 0)
                gnutls_credentials_clear(gnutls); /* out of memory: this handshake fails */
        if (now >= tls->next_warning) {
                keys_warn_of_end(tls->keys, now);
                tls->next_warning = now + DAY_S;
        }
}

/* See tls.h. Called by libcoap alone, for each session of a server, with the session as transport pointer. */
void gnutls_handshake_set_post_client_hello_function(gnutls_session_t gnutls,
                                                     gnutls_handshake_simple_hook_func func)
{
        static void (*real)(gnutls_session_t, gnutls_handshake_simple_hook_func);
        coap_session_t *session = gnutls_transport_get_ptr(gnutls);
        struct tls *tls = attached && session ? find_tls(coap_session_get_context(session)) : NULL;

        if (!real)
                real = (__typeof__(real))dlsym(RTLD_NEXT, "gnutls_handshake_set_post_client_hello_function");
        if (tls)
                prepare_session(tls, gnutls, session);
        if (real)
                real(gnutls, tls ? on_client_hello : func);
}

static const coap_bin_const_t *no_key(coap_bin_const_t *identity, coap_session_t *session, void *userdata)
{
        (void)identity;
        (void)session;
        (void)userdata;
        return NULL;
}

/*
 * libcoap wants to have a key before it opens a secure endpoint. It is never used: not with our credentials,
 * and should they ever not get in, then nobody does.
 */
static int enable_tls(const struct keys *keys, coap_context_t *const *contexts, size_t n)
{
        static const uint8_t never[] = "unused";
        coap_dtls_spsk_t setup = { .version = COAP_DTLS_SPSK_SETUP_VERSION,
                                   .validate_id_call_back = no_key,
                                   .psk_info = { .key = { sizeof(never), never } } };

        if (!STANDS_FIRST(gnutls_handshake_set_post_client_hello_function))
                return -ENOTSUP;
        for (size_t i = 0; i < n && keys_exist(keys); i++) {
                if (coap_context_set_psk2(contexts[i], &setup))
                        continue;
                log_error("libcoap does not take keys: is its GnuTLS support there?");
                return -ENOTSUP;
        }
        return 0;
}

int tls_attach(struct keys *keys, coap_context_t *const *contexts, size_t n, struct tls **ret_tls)
{
        struct tls *tls;
        int r = enable_tls(keys, contexts, n);

        if (r < 0)
                return r;
        tls = calloc(1, sizeof(*tls));
        if (!tls)
                return -ENOMEM;
        if (getrandom(&tls->peers.seed, sizeof(tls->peers.seed), 0) != sizeof(tls->peers.seed)) {
                free(tls);
                return -EIO;
        }
        /* libcoap's own bound turns newcomers away; ours makes room for them before. */
        for (size_t i = 0; i < n; i++)
                coap_context_set_max_handshake_sessions(contexts[i], 3 * LIBCOAP_MOST);
        tls->contexts = contexts;
        tls->n = n;
        tls->keys = keys_ref(keys);
        tls->next_warning = time(NULL) + DAY_S;
        tls->next = attached;
        attached = tls;
        *ret_tls = tls;
        return 0;
}

void tls_identify(const coap_session_t *session, struct identity *who)
{
        coap_tls_library_t library = COAP_TLS_LIBRARY_NOTLS;
        gnutls_session_t gnutls = coap_session_get_tls(session, &library);
        struct peer *peer = gnutls && library == COAP_TLS_LIBRARY_GNUTLS ? peer_of(gnutls) : NULL;

        const struct tls *tls = peer ? find_tls(coap_session_get_context(session)) : NULL;

        if (!tls || !peer_is_up(peer) || !peer_settle(peer, tls->keys))
                return;
        who->kind = peer->kind;
        if (peer->kind == IDENTITY_CERT) {
                who->name = peer->names->subject;
                who->names = peer->names->v;
                who->n_names = peer->names->n;
        } else {
                who->name = span_of(peer->name, peer->name_n);
        }
}

/* Moves an established session on to the new keys; false when they do not let it in. */
static bool carry_over(struct peer *peer, const struct keys *old, struct keys *new)
{
        if (!peer_settle(peer, old) || !peer_would_be_let_in(peer, new))
                return false;
        /* An established session needs no credentials; the old generation can go. */
        gnutls_credentials_clear(peer->gnutls);
        keys_ref(new);
        keys_unref(peer->keys);
        peer->keys = new;
        peer->set = keys_for(new, peer->server_name);
        peer->judged = new;
        return true;
}

size_t tls_replace(struct tls *tls, struct keys *keys)
{
        struct keys *old = tls->keys;
        size_t closed = 0;

        for (struct peer *peer = tls->peers.half_open, *next; peer; peer = next) {
                next = peer->next;
                peer_is_up(peer); /* goes over to the others if it is */
        }
        for (struct peer *peer = tls->peers.up, *next; peer; peer = next) {
                next = peer->next;
                if (!peer_is_up(peer) || carry_over(peer, old, keys))
                        continue;
                coap_session_disconnected(peer->session, COAP_NACK_TLS_FAILED); /* frees the peer */
                closed++;
        }
        enable_tls(keys, tls->contexts, tls->n);
        tls->keys = keys_ref(keys);
        keys_unref(old);
        tls->next_warning = time(NULL) + DAY_S;
        return closed;
}

/*
 * A device that was restarted comes back from the same port, while its old session is still up here. libcoap
 * would hand the hello to that session, which ignores it; and as each try counts as activity, the device
 * could stay out for good (RFC 6347, 4.2.8). The session ends with libcoap's turn, and the next try finds it
 * gone.
 */
void tls_hello_is_good(struct tls *tls, const struct peer_address *at, struct span random)
{
        struct peer *peer = peers_find(&tls->peers, at);
        gnutls_datum_t known = { 0 }, server;

        if (!peer || !peer_is_up(peer) || peer->stale)
                return;
        gnutls_session_get_random(peer->gnutls, &known, &server);
        if (span_equal(random, span_of(known.data, known.size)))
                return; /* it only came twice */
        peer->stale = true;
        tls->peers.n_stale++;
}

size_t tls_tidy(struct tls *tls, size_t most_handshakes)
{
        peers_end_stale(&tls->peers);
        return peers_make_room(&tls->peers, most_handshakes);
}

void tls_detach(struct tls *tls)
{
        struct tls **link = &attached;

        if (!tls)
                return;
        while (*link && *link != tls)
                link = &(*link)->next;
        if (*link)
                *link = tls->next;
        keys_unref(tls->keys);
        free(tls);
}
