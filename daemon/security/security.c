/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The module's front: one generation of keys, and what it is attached to.
 */
#include "security/security.h"

#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/keys.h"
#include "security/tls.h"

struct security {
        struct keys *keys;
        struct tls *tls; /* NULL: not attached */
};

static void security_freep(struct security **security)
{
        security_free(*security);
}

int security_load(const struct config *config, FILE *errors, struct security **ret_security)
{
        CLEANUP(security_freep) struct security *security = calloc(1, sizeof(*security));
        struct key_errors report = { .config = config, .out = errors };
        int r;

        if (!security)
                return -ENOMEM;
        r = keys_load(config, tls_give_key, tls_verify, &report, &security->keys);
        if (r < 0)
                return r;
        pki_warn_of_end(security->keys->pki, time(NULL));
        *ret_security = TAKE(security);
        return 0;
}

int security_attach(struct security *security, coap_context_t *context)
{
        return tls_attach(security->keys, context, &security->tls);
}

size_t security_replace(struct security *security, struct security *fresh)
{
        size_t closed = 0;

        if (security->tls)
                closed = tls_replace(security->tls, fresh->keys);
        keys_unref(security->keys);
        security->keys = TAKE(fresh->keys);
        security_free(fresh);
        if (closed)
                log_notice("%zu secure sessions closed: their keys are no longer good", closed);
        return closed;
}

bool security_has_tls(const struct security *security)
{
        return security->keys->psk || security->keys->pki;
}

bool security_has_oscore(const struct security *security)
{
        (void)security;
        return false;
}

void security_begin(struct security *security, const coap_session_t *session, const coap_pdu_t *request)
{
        (void)security;
        (void)session;
        (void)request;
}

void security_identify(struct security *security, const coap_session_t *session, struct identity *ret_who)
{
        const coap_address_t *remote = coap_session_get_addr_remote(session);
        struct identity who = { .kind = IDENTITY_NONE };

        (void)security;
        if (remote)
                identity_set_address(&who, &remote->addr.sa);
        tls_identify(session, &who);
        *ret_who = who;
}

void security_free(struct security *security)
{
        if (!security)
                return;
        tls_detach(security->tls);
        keys_unref(security->keys);
        free(security);
}
