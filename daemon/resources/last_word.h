/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of observations, told to sessions that owe an acknowledgement.
 *
 * libcoap holds a notification back while the session has NSTART confirmable messages under way (RFC 7252, 4.7), where
 * the notification would be confirmable, or there were five since the last that was. Later there is no notification of
 * what is gone, so for the length of one call more may be under way.
 */
#ifndef COAPD_RESOURCES_LAST_WORD_H
#define COAPD_RESOURCES_LAST_WORD_H

#include "resources/observations.h"

struct last_word {
        size_t n;
        struct last_word_listener {
                coap_session_t *session; /* held */
                uint16_t nstart;         /* as it was */
        } *listeners;
};

/*
 * Holds the sessions of all who observe, and none that it held before. Without memory for it there are none, and
 * libcoap goes by its rule.
 */
void last_word_prepare(struct last_word *word, const struct observed *observed);

/* From here on libcoap sends to them, whatever they owe. */
void last_word_begin(const struct last_word *word);

/* No more, and lets them go. Outside of libcoap, or where one of its sessions may end. */
void last_word_end(struct last_word *word);

#endif
