/* SPDX-License-Identifier: BSD-2-Clause */
/* The libraries' messages; see foreign_log.h. */
#include "base/foreign_log.h"

#include <coap3/coap.h>
#include <gnutls/gnutls.h>

#include "base/log.h"

/*
 * libcoap has alerts for what any peer can bring about. Even for a Reset, which is how a client ends an observation:
 * that is not worth a line.
 */
static int level_of(coap_log_t level, const char *message)
{
        if (strncmp(message, "got RST", strlen("got RST")) == 0)
                return LOG_DEBUG;
        return MIN(MAX((int)level, LOG_ERR), LOG_DEBUG);
}

static void on_coap_log(coap_log_t coap_level, const char *message)
{
        static struct log_gate gate = { .burst = 20, .interval_s = 60 };
        int level = level_of(coap_level, message);
        const char *text;

        if (!log_enabled(level))
                return;
        text = LOG_ESCAPE(span_of(message, strcspn(message, "\n")));
        if (level < LOG_DEBUG)
                log_gated(&gate, level, NULL, "libcoap: %s", text);
        else
                log_debug("libcoap: %s", text);
}

static void on_gnutls_log(int level, const char *message)
{
        log_debug("gnutls %d: %s", level, LOG_ESCAPE(span_of(message, strcspn(message, "\n"))));
}

void foreign_log_follow(void)
{
        bool debug = log_enabled(LOG_DEBUG);

        coap_set_log_handler(on_coap_log);
        coap_set_show_pdu_output(0); /* to the handler too, and not past it */
        coap_set_log_level(debug ? COAP_LOG_DEBUG : COAP_LOG_WARN);
        coap_dtls_set_log_level(debug ? COAP_LOG_INFO : COAP_LOG_ERR);
        gnutls_global_set_log_function(on_gnutls_log);
        gnutls_global_set_log_level(debug ? 1 : 0);
}
