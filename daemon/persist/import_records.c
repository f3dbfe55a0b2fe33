/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of libcoap's own files; see import_records.h. */
#include "persist/import_records.h"

#include <string.h>

#include "base/checksum.h"
#include "base/stored.h"
#include "base/util.h"
#include "persist/sqlite_counters.h"
#include "persist/sqlite_resources.h"

void import_scratch_deinit(struct import_scratch *scratch)
{
        observation_deinit(&scratch->observation);
        coap_delete_pdu(scratch->pdu);
        buf_deinit(&scratch->buf);
}

static bool take(struct span *rest, void *out, size_t n)
{
        if (rest->n < n)
                return false;
        memcpy(out, rest->p, n);
        *rest = span_skip(*rest, n);
        return true;
}

/* A length, then so many bytes; -1 where `may_lack` allows it stands for none. */
static bool take_field(struct span *rest, bool may_lack, struct span *ret)
{
        ssize_t n;

        if (!take(rest, &n, sizeof n))
                return false;
        *ret = (struct span){ 0 };
        if (n == -1 && may_lack)
                return true;
        if (n < 0 || n > LIBCOAP_FIELD_MAX || (size_t)n > rest->n)
                return false;
        *ret = span_of(rest->p, (size_t)n);
        *rest = span_skip(*rest, (size_t)n);
        return true;
}

static bool address_sane(const coap_address_t *address)
{
        switch (address->addr.sa.sa_family) {
        case AF_INET:
                return address->size == sizeof address->addr.sin;
        case AF_INET6:
                return address->size == sizeof address->addr.sin6;
        default:
                return false;
        }
}

enum import_result import_observer(struct span *rest, struct import_scratch *scratch, struct row *ret_row)
{
        struct observation *observation = &scratch->observation;
        struct span request, oscore;
        uint8_t key[sizeof(void *)]; /* of the process that wrote it */
        coap_address_t listen;
        coap_addr_tuple_t addresses;
        coap_proto_t proto;

        if (!take(rest, key, sizeof key) || !take(rest, &proto, sizeof proto) || proto <= COAP_PROTO_NONE ||
            proto >= COAP_PROTO_LAST || !take(rest, &listen, sizeof listen) ||
            !take(rest, &addresses, sizeof addresses) || !address_sane(&listen) ||
            !address_sane(&addresses.remote) || !address_sane(&addresses.local) ||
            !take_field(rest, false, &request) || !take_field(rest, true, &oscore))
                return IMPORT_END;
        if (proto != COAP_PROTO_UDP ||
            observation_from_libcoap(observation, &listen, &addresses, request, oscore) < 0)
                return IMPORT_SKIP;
        observation->registered_us = store_now_us();
        observation_to_row(observation, ret_row);
        return IMPORT_ROW;
}

static void join_queries(const coap_pdu_t *pdu, struct buf *out)
{
        coap_opt_iterator_t iterator;
        coap_opt_filter_t filter;
        coap_opt_t *option;

        coap_option_filter_clear(&filter);
        coap_option_filter_set(&filter, COAP_OPTION_URI_QUERY);
        coap_option_iterator_init(pdu, &iterator, &filter);
        while ((option = coap_option_next(&iterator))) {
                if (out->n)
                        buf_append_byte(out, '&');
                buf_append(out, coap_opt_value(option), coap_opt_length(option));
        }
}

static bool read_creation(const coap_pdu_t *pdu, struct import_scratch *scratch,
                          struct stored_resource *stored)
{
        coap_pdu_code_t code = coap_pdu_get_code(pdu);
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data = NULL;
        uint64_t sum;
        size_t n = 0;

        /* The last block of several is all that libcoap kept: better nothing than a piece. */
        if ((code != COAP_REQUEST_CODE_PUT && code != COAP_REQUEST_CODE_POST) ||
            coap_check_option(pdu, COAP_OPTION_BLOCK1, &iterator) ||
            coap_check_option(pdu, COAP_OPTION_Q_BLOCK1, &iterator))
                return false;
        option = coap_check_option(pdu, COAP_OPTION_CONTENT_FORMAT, &iterator);
        if (option)
                stored->content_format =
                        (int)coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
        join_queries(pdu, &scratch->buf);
        coap_get_data(pdu, &n, &data);
        stored->attributes = buf_span(&scratch->buf);
        stored->body = span_of(data, n);
        sum = checksum_span((uint64_t)stored->content_format, stored->body);
        memcpy(scratch->etag, &sum, sizeof scratch->etag);
        stored->etag = span_of(scratch->etag, sizeof scratch->etag);
        stored->created_us = stored->changed_us = store_now_us();
        return buf_ok(&scratch->buf);
}

enum import_result import_resource(struct span *rest, struct import_scratch *scratch, struct row *ret_row)
{
        struct stored_resource stored = { .content_format = -1 };
        struct span packet;
        coap_proto_t proto;

        if (!take(rest, &proto, sizeof proto) || proto <= COAP_PROTO_NONE || proto >= COAP_PROTO_LAST ||
            !take_field(rest, false, &stored.path) || !take_field(rest, false, &packet) || packet.n < 2)
                return IMPORT_END;
        scratch->pdu = coap_pdu_init(0, 0, 0, 0);
        if (!scratch->pdu || stored.path.n == 0 || !coap_pdu_parse(proto, packet.p, packet.n, scratch->pdu) ||
            !read_creation(scratch->pdu, scratch, &stored))
                return IMPORT_SKIP;
        store_resources_row(&stored, ret_row);
        return IMPORT_ROW;
}

enum import_result import_counter(struct span *rest, struct import_scratch *scratch, struct row *ret_row)
{
        /* How far the numbers went beyond the one in the file is not known: at most save_frequency's maximum.
         */
        enum { SAFE = 100000, NUMBER_MASK = 0xffffff, DIGITS = 8 };
        const uint8_t *end = rest->n ? memchr(rest->p, '\n', MIN(rest->n, (size_t)LIBCOAP_LINE_MAX)) : NULL;
        const uint8_t *space = end ? memchr(rest->p, ' ', (size_t)(end - rest->p)) : NULL;
        struct span path, number;
        uint32_t value = 0;

        (void)scratch;
        if (!space || space == rest->p)
                return IMPORT_END;
        path = span_of(rest->p, (size_t)(space - rest->p));
        number = span_of(space + 1, (size_t)(end - space - 1));
        if (number.n == 0 || number.n > DIGITS)
                return IMPORT_END;
        for (size_t i = 0; i < path.n; i++)
                if (path.p[i] <= ' ' || path.p[i] >= 0x7f)
                        return IMPORT_END;
        for (size_t i = 0; i < number.n; i++) {
                if (number.p[i] < '0' || number.p[i] > '9')
                        return IMPORT_END;
                value = value * 10 + (number.p[i] - '0');
        }
        *rest = span_skip(*rest, (size_t)(end - rest->p) + 1);
        *ret_row = (struct row){ .n = 0 };
        row_add_text(ret_row, path);
        row_add_int(ret_row, (value + SAFE) & NUMBER_MASK);
        row_add_int(ret_row, 1);
        row_add_int(ret_row, store_now_us());
        row_add_null(ret_row);
        return IMPORT_ROW;
}
