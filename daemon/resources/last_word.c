/* SPDX-License-Identifier: BSD-2-Clause */
/* NSTART, lifted for a moment; see last_word.h. */
#include "resources/last_word.h"

#include "base/util.h"

void last_word_prepare(struct last_word *word, const struct observed *observed)
{
        const struct observation *one = observations_first(observed, 0);

        last_word_end(word);
        *word = (struct last_word){ .listeners =
                                            calloc(MAX(observed->n, (size_t)1), sizeof *word->listeners) };
        for (; one && word->listeners; one = observation_next(one)) {
                coap_session_t *session = coap_session_reference(observation_session(one));

                word->listeners[word->n++] =
                        (struct last_word_listener){ .session = session,
                                                     .nstart = coap_session_get_nstart(session) };
        }
}

void last_word_begin(const struct last_word *word)
{
        for (size_t i = 0; i < word->n; i++)
                coap_session_set_nstart(word->listeners[i].session, UINT16_MAX);
}

void last_word_end(struct last_word *word)
{
        for (size_t i = 0; i < word->n; i++)
                coap_session_set_nstart(word->listeners[i].session, word->listeners[i].nstart);
        for (size_t i = 0; i < word->n; i++)
                coap_session_release(word->listeners[i].session);
        free(word->listeners);
        *word = (struct last_word){ 0 };
}
