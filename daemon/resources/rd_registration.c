/* SPDX-License-Identifier: BSD-2-Clause */
/* One registration of a resource directory: read from a request (RFC 9176, 5), written to the store and back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/content_format.h"
#include "base/stored.h"
#include "base/utf8.h"
#include "resources/link_format.h"
#include "resources/rd.h"
#include "resources/uri_reference.h"

struct rd_registration *rd_registration_new(void)
{
        return calloc(1, sizeof(struct rd_registration));
}

void rd_registration_free(struct rd_registration *registration)
{
        if (!registration)
                return;
        buf_deinit(&registration->endpoint);
        buf_deinit(&registration->sector);
        buf_deinit(&registration->extra);
        buf_deinit(&registration->base);
        buf_deinit(&registration->owner);
        representation_unref(registration->links);
        free(registration);
}

void rd_registration_freep(struct rd_registration **registration)
{
        rd_registration_free(*registration);
}

static bool is_whole(const struct rd_registration *r)
{
        return buf_ok(&r->endpoint) && buf_ok(&r->sector) && buf_ok(&r->extra) && buf_ok(&r->base) &&
               buf_ok(&r->owner);
}

struct rd_registration *rd_registration_copy(const struct rd_registration *registration)
{
        CLEANUP(rd_registration_freep) struct rd_registration *copy = rd_registration_new();
        const struct rd_registration *from = registration;

        if (!copy)
                return NULL;
        *copy = *from;
        copy->endpoint = copy->sector = copy->extra = copy->base = copy->owner = (struct buf){ 0 };
        copy->links = representation_ref(from->links);
        buf_append_span(&copy->endpoint, buf_span(&from->endpoint));
        buf_append_span(&copy->sector, buf_span(&from->sector));
        buf_append_span(&copy->extra, buf_span(&from->extra));
        buf_append_span(&copy->base, buf_span(&from->base));
        buf_append_span(&copy->owner, buf_span(&from->owner));
        return is_whole(copy) ? TAKE(copy) : NULL;
}

/* --- the extra parameters --- */

static void split(struct span text, struct span *ret_name, struct span *ret_value, bool *ret_has_value)
{
        const uint8_t *equals = text.n ? memchr(text.p, '=', text.n) : NULL;

        *ret_has_value = equals != NULL;
        *ret_name = span_of(text.p, equals ? (size_t)(equals - text.p) : text.n);
        *ret_value = span_skip(text, ret_name->n + 1);
}

bool rd_extra_next(struct span *rest, struct span *ret_name, struct span *ret_value, bool *ret_has_value)
{
        const uint8_t *end;
        size_t n;

        if (rest->n == 0)
                return false;
        *rest = span_skip(*rest, 1);
        end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
        n = end ? (size_t)(end - rest->p) : rest->n;
        split(span_of(rest->p, n), ret_name, ret_value, ret_has_value);
        *rest = span_skip(*rest, n);
        return true;
}

/* What an update brings takes the place of all that have its name. */
static void extra_drop(struct buf *extra, struct span name)
{
        CLEANUP(buf_deinit) struct buf kept = { 0 };
        struct span rest = buf_span(extra), one, value;
        bool has_value;

        while (rest.n > 0) {
                struct span from = rest;

                if (!rd_extra_next(&rest, &one, &value, &has_value))
                        break;
                if (!span_equal(one, name))
                        buf_append(&kept, from.p, from.n - rest.n);
        }
        kept.failed |= extra->failed;
        buf_deinit(extra);
        *extra = kept;
        kept = (struct buf){ 0 };
}

/* --- from a request --- */

static bool read_name(struct buf *to, const char *key, struct span value, struct response *response)
{
        if (to->n > 0)
                response_error(response, CODE_BAD_REQUEST, "%s is given twice", key);
        else if (value.n == 0 || value.n > RD_NAME_MAX)
                response_error(response, CODE_BAD_REQUEST, "%s is 1 to %d bytes", key, RD_NAME_MAX);
        else if (!utf8_is_printable(value))
                response_error(response, CODE_BAD_REQUEST, "%s is UTF-8 text without control characters",
                               key);
        else
                buf_append_span(to, value);
        return !response->code;
}

static bool read_lifetime(struct rd_registration *registration, struct span value, struct response *response)
{
        uint64_t seconds = 0;

        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < '0' || value.p[i] > '9')
                        seconds = UINT64_MAX;
                else if (seconds <= UINT32_MAX)
                        seconds = seconds * 10 + (uint64_t)(value.p[i] - '0');
        }
        if (seconds < 1 || seconds > UINT32_MAX) {
                response_error(response, CODE_BAD_REQUEST, "lt is 1 to 4294967295 seconds");
                return false;
        }
        registration->lifetime_s = (uint32_t)seconds;
        return true;
}

static bool read_base(struct rd_registration *registration, struct span value, struct response *response)
{
        enum { MOST = 255 };

        if (value.n > MOST || !uri_is_base(value)) {
                response_error(response, CODE_BAD_REQUEST,
                               "base is a URI such as coap://[2001:db8::1]:61616");
                return false;
        }
        buf_reset(&registration->base);
        buf_append_span(&registration->base, value);
        registration->base_given = true;
        return true;
}

/* Those that mean something else where lookups show or take them. */
static bool is_reserved(struct span name)
{
        static const char *const reserved[] = { "href", "anchor", "rt", "page", "count" };

        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (span_equal_string(name, reserved[i]))
                        return true;
        return false;
}

static bool read_extra(struct rd_registration *registration, struct span name, struct span query,
                       struct response *response)
{
        if (!link_is_parameter_name(name) || is_reserved(name) || !utf8_is_printable(query)) {
                response_error(response, CODE_BAD_REQUEST, "a parameter is not in order");
                return false;
        }
        buf_append_byte(&registration->extra, '\n');
        buf_append_span(&registration->extra, query);
        return true;
}

static bool read_one(struct rd_registration *registration, struct span query, bool update, unsigned *seen,
                     struct response *response)
{
        enum { LT = 1, BASE = 2 };
        struct span name, value;
        bool has_value, is_ep, is_d, is_lt, is_base;

        split(query, &name, &value, &has_value);
        is_ep = span_equal_string(name, "ep");
        is_d = span_equal_string(name, "d");
        is_lt = span_equal_string(name, "lt");
        is_base = span_equal_string(name, "base");
        if (update && (is_ep || is_d)) {
                response_error(response, CODE_BAD_REQUEST, "ep and d stay what they are");
                return false;
        }
        if (is_ep)
                return read_name(&registration->endpoint, "ep", value, response);
        if (is_d)
                return read_name(&registration->sector, "d", value, response);
        if (!is_lt && !is_base)
                return read_extra(registration, name, query, response);
        if (*seen & (is_lt ? LT : BASE)) {
                response_error(response, CODE_BAD_REQUEST, "%s is given twice", is_lt ? "lt" : "base");
                return false;
        }
        *seen |= is_lt ? LT : BASE;
        return is_lt ? read_lifetime(registration, value, response)
                     : read_base(registration, value, response);
}

bool rd_registration_read(struct rd_registration *registration, const struct request *request, bool update,
                          struct response *response)
{
        enum { DEFAULT_LIFETIME_S = 90000 }; /* RFC 9176, 5 */
        unsigned seen = 0;

        for (size_t i = 0; update && i < request->n_queries; i++) {
                struct span name, value;
                bool has_value;

                split(request->queries[i], &name, &value, &has_value);
                extra_drop(&registration->extra, name);
        }
        for (size_t i = 0; i < request->n_queries; i++)
                if (!read_one(registration, request->queries[i], update, &seen, response))
                        return false;
        if (registration->endpoint.n == 0) {
                response_error(response, CODE_BAD_REQUEST, "ep, the name of the endpoint, is missing");
                return false;
        }
        if (registration->lifetime_s == 0)
                registration->lifetime_s = DEFAULT_LIFETIME_S;
        if (!registration->base_given) {
                buf_reset(&registration->base);
                if (!request_peer_uri(request, &registration->base)) {
                        response_error(response, CODE_BAD_REQUEST, "base is missing");
                        return false;
                }
        }
        registration->link =
                uri_is_link_local(buf_span(&registration->base)) ? request_peer_link(request) : 0;
        if (is_whole(registration))
                return true;
        response_error(response, CODE_UNAVAILABLE, "out of memory");
        return false;
}

/* --- in the store: lines of ":key=value", then the extra parameters, which cannot begin like that --- */

static void write_line(struct buf *out, const char *key, struct span value)
{
        if (value.n == 0)
                return;
        buf_printf(out, "\n:%s=", key);
        buf_append_span(out, value);
}

int rd_registration_store(const struct rd_registration *registration, struct buf *attributes,
                          struct stored_resource *ret_stored)
{
        const struct representation *links = registration->links;

        write_line(attributes, "ep", buf_span(&registration->endpoint));
        write_line(attributes, "d", buf_span(&registration->sector));
        write_line(attributes, registration->base_given ? "base" : "from", buf_span(&registration->base));
        write_line(attributes, "owner", buf_span(&registration->owner));
        buf_printf(attributes, "\n:lt=%" PRIu32 "\n:expires=%" PRIu64 "\n:link=%u", registration->lifetime_s,
                   registration->expires_us, registration->link);
        if (registration->simple)
                buf_append_string(attributes, "\n:simple=1");
        buf_append_span(attributes, buf_span(&registration->extra));
        if (!buf_ok(attributes))
                return -ENOMEM;
        *ret_stored = (struct stored_resource){
                .content_format = CONTENT_FORMAT_LINK_FORMAT,
                .etag = etag_span(&links->etag),
                .attributes = buf_span(attributes),
                .body = span_of(links->data, (size_t)links->size),
                .created_us = registration->created_us,
                .changed_us = (int64_t)rd_now_us(),
        };
        return 0;
}

static uint64_t number_of(struct span value)
{
        char text[24] = "";

        memcpy(text, value.p ? value.p : (const uint8_t *)"", MIN(value.n, sizeof text - 1));
        return strtoull(text, NULL, 10);
}

static void read_line(struct rd_registration *registration, struct span name, struct span value)
{
        if (span_equal_string(name, ":ep")) {
                buf_append_span(&registration->endpoint, value);
        } else if (span_equal_string(name, ":d")) {
                buf_append_span(&registration->sector, value);
        } else if (span_equal_string(name, ":base") || span_equal_string(name, ":from")) {
                buf_append_span(&registration->base, value);
                registration->base_given = span_equal_string(name, ":base");
        } else if (span_equal_string(name, ":owner")) {
                buf_append_span(&registration->owner, value);
        } else if (span_equal_string(name, ":lt")) {
                registration->lifetime_s = (uint32_t)number_of(value);
        } else if (span_equal_string(name, ":expires")) {
                registration->expires_us = number_of(value);
        } else if (span_equal_string(name, ":simple")) {
                registration->simple = number_of(value) != 0;
        } else if (span_equal_string(name, ":link")) {
                registration->link = (unsigned)number_of(value);
        }
}

struct rd_registration *rd_registration_restore(struct span id, const struct stored_resource *stored)
{
        CLEANUP(rd_registration_freep) struct rd_registration *registration = rd_registration_new();
        struct span rest = stored->attributes, name, value;
        bool has_value;

        if (!registration || id.n != RD_ID_LENGTH || (rest.n > 0 && rest.p[0] != '\n'))
                return NULL;
        memcpy(registration->id, id.p, id.n);
        while (rest.n > 0) {
                struct span from = rest;

                rd_extra_next(&rest, &name, &value, &has_value);
                if (name.n > 0 && name.p[0] == ':')
                        read_line(registration, name, value);
                else
                        buf_append(&registration->extra, from.p, from.n - rest.n);
        }
        registration->created_us = stored->created_us;
        registration->links = representation_new(stored->body, CONTENT_FORMAT_LINK_FORMAT);
        if (!is_whole(registration) || !registration->links || registration->endpoint.n == 0 ||
            registration->base.n == 0 || registration->lifetime_s == 0)
                return NULL;
        return TAKE(registration);
}
