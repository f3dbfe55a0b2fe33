/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The module's front: one generation of keys, and what it is attached to.
 */
#include "security/security.h"

#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/keys.h"
#include "security/oscore.h"
#include "security/tls.h"

struct security {
        struct keys *keys;
        struct tls *tls; /* NULL: not attached */
        struct oscore *oscore;
        coap_context_t *context;
};

static void security_freep(struct security **security)
{
        security_free(*security);
}

int security_load(const struct config *config, FILE *errors, struct security **ret_security)
{
        CLEANUP(security_freep) struct security *security = calloc(1, sizeof(*security));
        struct key_errors report = { .config = config, .out = errors };
        int r, r_oscore;

        if (!security)
                return -ENOMEM;
        r = keys_load(config, tls_give_key, tls_verify, &report, &security->keys);
        if (r == -ENOMEM)
                return r;
        r_oscore = oscore_load(config, &report, &security->oscore);
        if (r < 0 || r_oscore < 0)
                return r < 0 ? r : r_oscore;
        pki_warn_of_end(security->keys->pki, time(NULL));
        *ret_security = TAKE(security);
        return 0;
}

int security_attach(struct security *security, coap_context_t *context)
{
        security->context = context;
        return tls_attach(security->keys, context, &security->tls);
}

int security_open_oscore(struct security *security, const struct security_store *store)
{
        return oscore_open(security->oscore, security->context, store);
}

size_t security_replace(struct security *security, struct security *fresh)
{
        size_t closed = tls_replace(security->tls, fresh->keys);

        keys_unref(security->keys);
        security->keys = TAKE(fresh->keys);
        oscore_replace(security->oscore, fresh->oscore);
        security_free(fresh);
        return closed;
}

bool security_has_tls(const struct security *security)
{
        return security->keys->psk || security->keys->pki;
}

bool security_has_oscore(const struct security *security)
{
        return !oscore_is_empty(security->oscore);
}

void security_begin(struct security *security, const coap_session_t *session, const coap_pdu_t *request)
{
        oscore_begin(security->oscore, session, request);
}

void security_end(struct security *security)
{
        oscore_end(security->oscore);
}

/* OSCORE within DTLS: the inner of the two is the peer, the outer one may be a proxy. */
void security_identify(struct security *security, const coap_session_t *session, struct identity *ret_who)
{
        const coap_address_t *remote = coap_session_get_addr_remote(session);
        struct identity who = { .kind = IDENTITY_NONE };

        if (remote)
                identity_set_address(&who, &remote->addr.sa);
        if (!oscore_identify(security->oscore, session, &who))
                tls_identify(session, &who);
        *ret_who = who;
}

bool security_restore_observer(struct security *security, const coap_address_t *remote, struct span token,
                               struct span recipient_id, struct span id_context)
{
        return oscore_restore_observer(security->oscore, remote, token, recipient_id, id_context);
}

void security_session_gone(struct security *security, const coap_session_t *session)
{
        oscore_session_gone(security->oscore, session);
}

void security_free(struct security *security)
{
        if (!security)
                return;
        tls_detach(security->tls);
        keys_unref(security->keys);
        oscore_free(security->oscore);
        free(security);
}
