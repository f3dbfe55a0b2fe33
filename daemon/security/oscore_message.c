/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose message a handler has in its hands: the request is the one that was decrypted last when its code,
 * payload and every option that OSCORE protects are the same. The plain text is then used up.
 */
#include <gnutls/crypto.h>

#include "security/oscore_internal.h"

#define PAYLOAD_MARKER 0xff

/* Class E options (RFC 8613, 4.1.2): libcoap takes them from the plain text alone. */
static bool is_protected(unsigned number)
{
        switch (number) {
        case COAP_OPTION_IF_MATCH:
        case COAP_OPTION_ETAG:
        case COAP_OPTION_IF_NONE_MATCH:
        case COAP_OPTION_OBSERVE:
        case COAP_OPTION_LOCATION_PATH:
        case COAP_OPTION_URI_PATH:
        case COAP_OPTION_CONTENT_FORMAT:
        case COAP_OPTION_MAXAGE:
        case COAP_OPTION_URI_QUERY:
        case COAP_OPTION_ACCEPT:
        case COAP_OPTION_LOCATION_QUERY:
        case COAP_OPTION_BLOCK1:
        case COAP_OPTION_BLOCK2:
        case COAP_OPTION_SIZE1:
        case COAP_OPTION_SIZE2:
        case COAP_OPTION_NORESPONSE:
        case COAP_OPTION_ECHO:
        case COAP_OPTION_RTAG:
                return true;
        default:
                return false;
        }
}

struct option {
        unsigned number;
        struct span value;
};

/* A number that may go on in the next bytes (RFC 7252, 3.1). */
static bool take_extended(struct span *rest, unsigned nibble, unsigned *ret_number)
{
        unsigned size = nibble == 13 ? 1 : nibble == 14 ? 2 : 0;

        if (nibble == 15 || rest->n < size)
                return false;
        *ret_number = size == 0   ? nibble
                      : size == 1 ? 13u + rest->p[0]
                                  : 269u + ((unsigned)rest->p[0] << 8 | rest->p[1]);
        *rest = span_skip(*rest, size);
        return true;
}

/* The next protected option of the plain text; false at the payload or the end. */
static bool next_inner(struct span *rest, unsigned *number, struct option *ret_option)
{
        while (rest->n > 0 && rest->p[0] != PAYLOAD_MARKER) {
                uint8_t head = rest->p[0];
                unsigned delta, length;

                *rest = span_skip(*rest, 1);
                if (!take_extended(rest, head >> 4, &delta) || !take_extended(rest, head & 15, &length) ||
                    rest->n < length)
                        return false;
                *number += delta;
                *ret_option = (struct option){ *number, span_of(rest->p, length) };
                *rest = span_skip(*rest, length);
                if (is_protected(*number))
                        return true;
        }
        return false;
}

static bool next_of_request(coap_opt_iterator_t *iterator, struct option *ret_option)
{
        coap_opt_t *option;

        while ((option = coap_option_next(iterator))) {
                if (!is_protected(iterator->number))
                        continue;
                *ret_option = (struct option){ iterator->number,
                                               span_of(coap_opt_value(option), coap_opt_length(option)) };
                return true;
        }
        return false;
}

static bool is_what_was_decrypted(struct span plaintext, const coap_pdu_t *request)
{
        struct option inner, outer;
        coap_opt_iterator_t iterator;
        const uint8_t *data = NULL;
        unsigned number = 0;
        size_t n = 0;
        bool more;

        if (plaintext.n == 0 || plaintext.p[0] != coap_pdu_get_code(request))
                return false;
        plaintext = span_skip(plaintext, 1);
        coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
        do {
                more = next_inner(&plaintext, &number, &inner);
                if (more != next_of_request(&iterator, &outer))
                        return false;
                if (more && (inner.number != outer.number || !span_equal(inner.value, outer.value)))
                        return false;
        } while (more);
        if (!coap_get_data(request, &n, &data))
                n = 0;
        return span_equal(span_skip(plaintext, 1), span_of(data, n));
}

/* The Observe option's value; -1: none. */
static int observe_of(const coap_pdu_t *request)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(request, COAP_OPTION_OBSERVE, &iterator);
        coap_pdu_code_t code = coap_pdu_get_code(request);

        if (!option || (code != COAP_REQUEST_CODE_GET && code != COAP_REQUEST_CODE_FETCH))
                return -1;
        return (int)coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
}

/* Of all that goes into a cache key (RFC 7252, 5.6), what OSCORE protects. */
static bool tells_what(unsigned number)
{
        return number == COAP_OPTION_URI_PATH || number == COAP_OPTION_URI_QUERY ||
               number == COAP_OPTION_ACCEPT || number == COAP_OPTION_CONTENT_FORMAT;
}

/* False: no memory. */
static bool read_asked(const coap_pdu_t *request, struct oscore_asked *ret_asked)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data = NULL;
        size_t n = 0;

        buf_append_byte(&text, (uint8_t)coap_pdu_get_code(request));
        coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                if (!tells_what(iterator.number))
                        continue;
                buf_append(&text, &iterator.number, sizeof(iterator.number));
                buf_append(&text, &(uint32_t){ coap_opt_length(option) }, sizeof(uint32_t));
                buf_append(&text, coap_opt_value(option), coap_opt_length(option));
        }
        buf_append_byte(&text, PAYLOAD_MARKER);
        if (coap_get_data(request, &n, &data))
                buf_append(&text, data, n);
        return buf_ok(&text) && gnutls_hash_fast(GNUTLS_DIG_SHA256, text.p, text.n, ret_asked->digest) >= 0;
}

static struct oscore_endpoint endpoint_of(const coap_session_t *session)
{
        return oscore_endpoint_of(coap_session_get_context(session), coap_session_get_proto(session),
                                  coap_session_get_addr_remote(session));
}

static void forget_plaintext(struct oscore *oscore)
{
        if (oscore->plaintext.n)
                explicit_bzero(oscore->plaintext.p, oscore->plaintext.n);
        buf_reset(&oscore->plaintext);
        oscore->decrypted_by = NULL;
}

void oscore_next_message(struct oscore *oscore)
{
        forget_plaintext(oscore);
        oscore->in_the_clear = true;
}

void oscore_answers(struct oscore *oscore, bool protected)
{
        oscore->in_the_clear = !protected;
}

/* Recipients stay where they are until the end. */
uint64_t oscore_protected_by(const struct oscore *oscore)
{
        return (uintptr_t)oscore->sender;
}

/*
 * Without a message, it is a notification, or a request that came unprotected. Also the latter is taken for
 * the observer's if it repeats the observation's token and all that it asks for: what it draws goes to the observer,
 * protected, and to nobody else.
 */
void oscore_begin(struct oscore *oscore, const coap_session_t *session, const coap_pdu_t *request,
                  bool is_notification)
{
        const struct oscore_recipient *by = oscore->decrypted_by;
        struct span plaintext = buf_span(&oscore->plaintext);
        coap_bin_const_t bytes = coap_pdu_get_token(request);
        struct span token = span_of(bytes.s, bytes.length);
        struct oscore_endpoint endpoint;
        struct oscore_asked asked;
        int observe;

        if (oscore->n == 0)
                return;
        observe = observe_of(request);
        endpoint = endpoint_of(session);
        oscore->session = session;
        oscore->sender = NULL;
        if (by && is_what_was_decrypted(plaintext, request)) {
                oscore->sender = by;
                if (observe == COAP_OBSERVE_ESTABLISH && read_asked(request, &asked))
                        oscore_observers_add(oscore->observers, &endpoint, token, &asked, by);
                else if (observe == COAP_OBSERVE_CANCEL)
                        oscore_observers_remove(oscore->observers, &endpoint, token);
        } else if (observe == COAP_OBSERVE_ESTABLISH &&
                   oscore_observers_have(oscore->observers, &endpoint, token) &&
                   read_asked(request, &asked)) {
                oscore->sender = oscore_observers_find(oscore->observers, &endpoint, token, &asked);
        }
        forget_plaintext(oscore);
        /* A notification with an observer's token is of something else, which was asked for in the clear. */
        oscore->in_the_clear =
                !oscore->sender &&
                (!is_notification || oscore_observers_have(oscore->observers, &endpoint, token));
}

void oscore_end(struct oscore *oscore)
{
        oscore->session = NULL;
        oscore->sender = NULL;
}

bool oscore_identify(const struct oscore *oscore, const coap_session_t *session, struct identity *who)
{
        if (!oscore->sender || oscore->session != session || !oscore->sender->welcome)
                return false;
        who->kind = IDENTITY_OSCORE;
        who->name = span_of(oscore->sender->name, 2 * oscore->sender->id_n);
        who->names = NULL;
        who->n_names = 0;
        return true;
}

bool oscore_is_revoked(const struct oscore *oscore, const coap_session_t *session)
{
        return oscore->sender && oscore->session == session && !oscore->sender->welcome;
}

static bool restore(struct oscore *oscore, const struct oscore_route *route, const coap_address_t *remote,
                    const coap_pdu_t *request)
{
        struct oscore_endpoint endpoint =
                oscore_endpoint_of(route->context->datagrams.coap, COAP_PROTO_UDP, remote);
        coap_bin_const_t token = coap_pdu_get_token(request);
        struct oscore_asked asked;

        if (!read_asked(request, &asked))
                return false;
        oscore_observers_add(oscore->observers, &endpoint, span_of(token.s, token.length), &asked,
                             route->recipient);
        return true;
}

bool oscore_restore_observer(struct oscore *oscore, const coap_address_t *remote, struct span request,
                             struct span recipient_id, struct span id_context)
{
        const struct oscore_route *route = oscore_route_find(oscore, recipient_id, id_context);
        coap_pdu_t *pdu = route ? coap_pdu_init(0, 0, 0, request.n) : NULL;
        bool restored = pdu && coap_pdu_parse(COAP_PROTO_UDP, request.p, request.n, pdu) &&
                        restore(oscore, route, remote, pdu);

        coap_delete_pdu(pdu);
        return restored;
}

void oscore_session_gone(struct oscore *oscore, const coap_session_t *session)
{
        struct oscore_endpoint endpoint = endpoint_of(session);

        oscore_observers_remove_all(oscore->observers, &endpoint);
        if (oscore->session == session)
                oscore_end(oscore);
}
