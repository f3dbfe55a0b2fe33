/* SPDX-License-Identifier: BSD-2-Clause */
/* One observation as a row; see observation.h. */
#include "persist/observation.h"

#include <errno.h>
#include <string.h>

#include "base/coap_options.h"
#include "base/util.h"

enum column {
        RESOURCE,
        METHOD,
        QUERY,
        LISTEN_ADDRESS,
        LISTEN_PORT,
        PEER_ADDRESS,
        PEER_PORT,
        LOCAL_ADDRESS,
        LOCAL_PORT,
        TOKEN,
        REQUEST,
        OSCORE,
        REGISTERED,
};

/* Not the room for texts, of which each text fills what it needs. */
static void init(struct observation *self)
{
        self->request = self->oscore = self->path = self->query = (struct span){ 0 };
        self->path_string = self->query_string = NULL;
}

void observation_deinit(struct observation *self)
{
        coap_delete_string(self->path_string);
        coap_delete_string(self->query_string);
        init(self);
}

static void delete_pdup(coap_pdu_t **pdu)
{
        coap_delete_pdu(*pdu);
}

static bool asks_to_observe(const coap_pdu_t *pdu)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(pdu, COAP_OPTION_OBSERVE, &iterator);
        coap_pdu_code_t code = coap_pdu_get_code(pdu);

        return (code == COAP_REQUEST_CODE_GET || code == COAP_REQUEST_CODE_FETCH) && option &&
               coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option)) ==
                       COAP_OBSERVE_ESTABLISH;
}

static void take_token(struct observation *self, const uint8_t *token, size_t n)
{
        static const char digits[] = "0123456789abcdef";

        /* RFC 8974 allows longer ones than anybody uses: the request has all of it. */
        self->token_n = MIN(n, (size_t)OBSERVATION_TOKEN);
        for (size_t i = 0; i < self->token_n; i++) {
                self->token[i] = token[i];
                self->token_text[2 * i] = digits[token[i] >> 4];
                self->token_text[2 * i + 1] = digits[token[i] & 15];
        }
        self->token_text[2 * self->token_n] = '\0';
}

static int read_request(struct observation *self)
{
        CLEANUP(delete_pdup) coap_pdu_t *pdu = coap_pdu_init(0, 0, 0, 0);
        coap_bin_const_t token;

        if (!pdu)
                return -ENOMEM;
        if (self->request.n < COAP_HEADER_SIZE ||
            !coap_pdu_parse(COAP_PROTO_UDP, self->request.p, self->request.n, pdu) || !asks_to_observe(pdu))
                return -EBADMSG;
        self->path_string = coap_get_uri_path(pdu);
        self->query_string = coap_get_query(pdu);
        if (!self->path_string)
                return -ENOMEM;
        self->path = span_of(self->path_string->s, self->path_string->length);
        if (self->query_string)
                self->query = span_of(self->query_string->s, self->query_string->length);
        self->code = (uint8_t)coap_pdu_get_code(pdu);
        token = coap_pdu_get_token(pdu);
        take_token(self, token.s, token.length);
        return 0;
}

/* --- the usual request: a quarter of what a registration costs is libcoap's way of reading it again --- */

enum { VERSION = 1, PAYLOAD_MARKER = 0xff, TOKEN_MOST = 8 };

/*
 * Puts the next segment behind `text`, the last in there. False: libcoap would escape something, or there is no room.
 */
static bool add_plain(struct observation *self, struct span *text, char separator, struct span segment)
{
        char *to = self->plain + self->path.n + self->query.n, *end = self->plain + sizeof self->plain;

        if (segment.n == 0 || segment.n >= (size_t)(end - to))
                return false;
        if (text->n == 0)
                text->p = (const uint8_t *)to;
        else
                *to++ = separator;
        for (size_t i = 0; i < segment.n; i++) {
                uint8_t c = segment.p[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.' || c == '_' || c == '=' || c == ','))
                        return false;
                *to++ = (char)c;
        }
        text->n = (size_t)((const uint8_t *)to - text->p);
        return true;
}

static bool add_option(struct observation *self, unsigned number, struct span value, bool *observes)
{
        switch (number) {
        case COAP_OPTION_OBSERVE:
                *observes = value.n == 0;
                return *observes;
        case COAP_OPTION_URI_PATH:
                return add_plain(self, &self->path, '/', value);
        case COAP_OPTION_URI_QUERY:
                return add_plain(self, &self->query, '&', value);
        case COAP_OPTION_ACCEPT:
        case COAP_OPTION_CONTENT_FORMAT:
                return value.n <= 2;
        case COAP_OPTION_BLOCK2:
                return value.n <= 3;
        default:
                return false;
        }
}

/* False: it is not the usual one. */
static bool read_usual_request(struct observation *self)
{
        const uint8_t *p = self->request.p;
        struct coap_options options;
        struct span value, rest;
        bool observes = false;

        if (!coap_options_begin(self->request, &options) || p[0] >> 6 != VERSION ||
            (p[0] & 15) > TOKEN_MOST || (p[1] != COAP_REQUEST_CODE_GET && p[1] != COAP_REQUEST_CODE_FETCH))
                return false;
        for (rest = options.rest; coap_options_next(&options, &value); rest = options.rest)
                if (!add_option(self, options.number, value, &observes))
                        return false;
        /* Behind the last option there is nothing, or a payload, which is more than its marker. */
        if (!observes || self->path.n == 0 || rest.n == 1 || (rest.n > 1 && rest.p[0] != PAYLOAD_MARKER))
                return false;
        self->code = p[1];
        take_token(self, p + COAP_HEADER_SIZE, p[0] & 15);
        return true;
}

int observation_from_libcoap(struct observation *ret_self, const coap_address_t *listen,
                             const coap_addr_tuple_t *addresses, struct span request, struct span oscore)
{
        init(ret_self);
        ret_self->listen = *listen;
        ret_self->addresses = *addresses;
        ret_self->request = request;
        ret_self->oscore = oscore;
        if (!address_to_text(listen, ret_self->listen_text) ||
            !address_to_text(&addresses->remote, ret_self->peer_text) ||
            !address_to_text(&addresses->local, ret_self->local_text))
                return -EAFNOSUPPORT;
        if (read_usual_request(ret_self))
                return 0;
        ret_self->path = ret_self->query = (struct span){ 0 };
        return read_request(ret_self);
}

void observation_to_row(const struct observation *self, struct row *ret_row)
{
        ret_row->n = 0;
        row_add_text(ret_row, self->path);
        row_add_string(ret_row, self->code == COAP_REQUEST_CODE_FETCH ? "FETCH" : "GET");
        row_add_text(ret_row, self->query);
        row_add_string(ret_row, self->listen_text);
        row_add_int(ret_row, coap_address_get_port(&self->listen));
        row_add_string(ret_row, self->peer_text);
        row_add_int(ret_row, coap_address_get_port(&self->addresses.remote));
        row_add_string(ret_row, self->local_text);
        row_add_int(ret_row, coap_address_get_port(&self->addresses.local));
        row_add_string(ret_row, self->token_text);
        row_add_blob(ret_row, self->request);
        if (self->oscore.p)
                row_add_blob(ret_row, self->oscore);
        else
                row_add_null(ret_row);
        row_add_int(ret_row, self->registered_us);
}

static int address_from_row(const struct row *row, enum column at, char text[ADDRESS_TEXT],
                            coap_address_t *ret)
{
        int64_t port;

        if (!row_get_string(row, at, text, ADDRESS_TEXT) || !row_get_int(row, at + 1, 0, UINT16_MAX, &port))
                return -EBADMSG;
        if (address_from_text(text, (uint16_t)port, ret))
                return 0;
        return strchr(text, '%') ? -EADDRNOTAVAIL : -EBADMSG;
}

int observation_from_row(struct observation *ret_self, const struct row *row)
{
        struct span path;
        int r = 0, address;

        init(ret_self);
        if (!row_get_text(row, RESOURCE, &path) || !row_get_blob(row, REQUEST, &ret_self->request) ||
            (!row_is_null(row, OSCORE) && !row_get_blob(row, OSCORE, &ret_self->oscore)) ||
            !row_get_int(row, REGISTERED, 0, INT64_MAX, &ret_self->registered_us))
                return -EBADMSG;
        r = address_from_row(row, LISTEN_ADDRESS, ret_self->listen_text, &ret_self->listen);
        if (r == -EBADMSG)
                return r;
        address = address_from_row(row, PEER_ADDRESS, ret_self->peer_text, &ret_self->addresses.remote);
        r = address < 0 ? address : r;
        if (r == -EBADMSG)
                return r;
        address = address_from_row(row, LOCAL_ADDRESS, ret_self->local_text, &ret_self->addresses.local);
        r = address < 0 ? address : r;
        if (r == -EBADMSG)
                return r;
        address = read_request(ret_self);
        if (address < 0)
                return address;
        return span_equal(path, ret_self->path) ? r : -EBADMSG;
}

static void add_target(struct observation_target *target, size_t *n, const coap_address_t *listen,
                       const coap_address_t *local, const coap_address_t *remote)
{
        memset(&target[*n], 0, sizeof target[*n]);
        target[*n].listen = *listen;
        target[*n].addresses.local = *local;
        target[*n].addresses.remote = *remote;
        (*n)++;
}

size_t observation_targets(const struct observation *self, struct observation_target out[OBSERVATION_TARGETS])
{
        const coap_address_t *local = &self->addresses.local, *remote = &self->addresses.remote;
        coap_address_t local4, remote4, local6, remote6, listen;
        size_t n = 0;

        if (address_as_ipv4(local, &local4) && address_as_ipv4(remote, &remote4) &&
            address_as_mapped(local, &local6) && address_as_mapped(remote, &remote6)) {
                add_target(out, &n, &local4, &local4, &remote4);
                add_target(out, &n, &local6, &local6, &remote6);
                address_any(&local4, &listen);
                add_target(out, &n, &listen, &local4, &remote4);
                address_any(&local6, &listen);
                add_target(out, &n, &listen, &local6, &remote6);
        } else {
                listen = *local;
                /* Packets do not say on which link their destination is; the peer's address does. */
                if (IN6_IS_ADDR_LINKLOCAL(&listen.addr.sin6.sin6_addr) && !listen.addr.sin6.sin6_scope_id)
                        listen.addr.sin6.sin6_scope_id = remote->addr.sin6.sin6_scope_id;
                add_target(out, &n, &listen, local, remote);
                address_any(local, &listen);
                add_target(out, &n, &listen, local, remote);
        }
        /* As it was: what came to a multicast address, for example. */
        add_target(out, &n, &self->listen, local, remote);
        return n;
}

/* A CBOR byte string of at most 64 KiB, or null (RFC 8949, 3). */
static bool cbor_bytes(struct span *in, struct span *ret)
{
        enum { BYTES = 0x40, ONE_BYTE = 0x58, TWO_BYTES = 0x59, NIL = 0xf6 };
        size_t head = 1, n;

        if (in->n == 0)
                return false;
        if (in->p[0] == NIL) {
                *ret = (struct span){ 0 };
                *in = span_skip(*in, 1);
                return true;
        }
        if (in->p[0] >= BYTES && in->p[0] < ONE_BYTE) {
                n = in->p[0] - BYTES;
        } else if (in->p[0] == ONE_BYTE && in->n >= 2) {
                head = 2;
                n = in->p[1];
        } else if (in->p[0] == TWO_BYTES && in->n >= 3) {
                head = 3;
                n = (size_t)in->p[1] << 8 | in->p[2];
        } else {
                return false;
        }
        if (in->n - head < n)
                return false;
        *ret = span_of(in->p + head, n);
        *in = span_skip(*in, head + n);
        return true;
}

bool observation_oscore_ids(struct span oscore, struct span *ret_recipient_id, struct span *ret_id_context)
{
        enum { ARRAY_OF_5 = 0x85, ITEMS = 5 };
        struct span item[ITEMS];

        if (oscore.n == 0 || oscore.p[0] != ARRAY_OF_5)
                return false;
        oscore = span_skip(oscore, 1);
        /* All of them: libcoap believes the lengths in here when it reads them back. */
        for (size_t i = 0; i < ITEMS; i++)
                if (!cbor_bytes(&oscore, &item[i]))
                        return false;
        if (!item[0].p || oscore.n != 0)
                return false;
        *ret_recipient_id = item[0];
        *ret_id_context = item[1];
        return true;
}
