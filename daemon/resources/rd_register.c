/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What endpoints ask of a resource directory (RFC 9176, 5): to register, to refresh, to be forgotten. A registration
 * belongs to the identity that made it (7.5, first come, first remembered); one that nobody in particular made is
 * anybody's.
 */
#include <errno.h>

#include "base/content_format.h"
#include "base/stored.h"
#include "resources/link_format.h"
#include "resources/rd.h"
#include "resources/uri_path.h"
#include "resources/uri_reference.h"

static bool is_owner(const struct rd_registration *registration, struct span who, struct response *response)
{
        if (registration->owner.n == 0 || span_equal(buf_span(&registration->owner), who))
                return true;
        response_error(response, CODE_FORBIDDEN, "it was registered by somebody else");
        return false;
}

static bool may_touch(const struct rd *rd, const struct rd_registration *registration,
                      const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf who = { 0 };

        resource_identify(rd->resource, request, &who);
        return is_owner(registration, buf_span(&who), response);
}

bool rd_links_in_order(struct span links)
{
        CLEANUP(buf_deinit) struct buf scratch = { 0 };
        struct link_parameter parameter;
        struct link_value link;
        int r;

        while ((r = link_next(&links, &link)) > 0) {
                struct span rest = link.parameters;

                if (!uri_reference_is_valid(link.target))
                        return false;
                while (link_parameter_next(&rest, &parameter) > 0)
                        if (span_equal_string(parameter.name, "anchor") &&
                            !uri_reference_is_valid(link_parameter_value(&parameter, &scratch)))
                                return false;
        }
        return r == 0;
}

/* Keeps it, and then puts it into the set. Takes `registration` over. */
static void settle(struct rd *rd, struct rd_registration *old, struct rd_registration *new_one,
                   struct response *response)
{
        CLEANUP(rd_registration_freep) struct rd_registration *registration = new_one;
        CLEANUP(buf_deinit) struct buf attributes = { 0 };
        struct stored_resource stored;
        int r;

        registration->expires_us = rd_now_us() + registration->lifetime_s * UINT64_C(1000000);
        r = rd_registration_store(registration, &attributes, &stored);
        if (r == 0)
                r = resource_store(rd->resource, span_of_string(registration->id), &stored);
        if (r < 0) {
                response_refused_by_store(response, r);
                return;
        }
        r = rd_set(rd, old, registration);
        if (r == 0) {
                TAKE(registration);
                return;
        }
        resource_unstore(rd->resource, span_of_string(registration->id));
        response_error(response, CODE_UNAVAILABLE, "out of memory");
}

static bool name_it(const struct rd *rd, struct rd_registration *registration,
                    const struct rd_registration *old)
{
        if (old) {
                memcpy(registration->id, old->id, sizeof registration->id);
                registration->created_us = old->created_us;
                return true;
        }
        registration->created_us = (int64_t)rd_now_us();
        do {
                if (!uri_path_chance(registration->id, RD_ID_LENGTH))
                        return false;
        } while (rd_find(rd, span_of_string(registration->id)));
        return true;
}

bool rd_may_register(struct rd *rd, const struct rd_registration *registration, uint64_t bytes,
                     struct response *response)
{
        const struct rd_registration *old =
                rd_find_endpoint(rd, buf_span(&registration->endpoint), buf_span(&registration->sector));

        if (!old)
                return rd_has_room(rd, bytes, response);
        if (!is_owner(old, buf_span(&registration->owner), response))
                return false;
        if (bytes <= old->links->size ||
            rd->bytes - old->links->size + bytes <= (uint64_t)rd->conf->max_total_size)
                return true;
        response_error(response, CODE_UNAVAILABLE, "the directory is full");
        return false;
}

bool rd_make_registration(struct rd *rd, struct rd_registration *new_one, struct span links,
                          struct response *response)
{
        CLEANUP(rd_registration_freep) struct rd_registration *registration = new_one;
        struct rd_registration *old;

        if (!rd_may_register(rd, registration, links.n, response))
                return false;
        old = rd_find_endpoint(rd, buf_span(&registration->endpoint), buf_span(&registration->sector));
        registration->links = representation_new(links, CONTENT_FORMAT_LINK_FORMAT);
        if (!registration->links || !name_it(rd, registration, old)) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return false;
        }
        settle(rd, old, TAKE(registration), response);
        return !response->code;
}

void rd_register(struct rd *rd, const struct request *request, struct response *response)
{
        CLEANUP(rd_registration_freep) struct rd_registration *registration = rd_registration_new();
        const struct rd_registration *made = registration;

        if (request->content_format >= 0 && request->content_format != CONTENT_FORMAT_LINK_FORMAT) {
                response_error(response, CODE_UNSUPPORTED_FORMAT, "links come in application/link-format");
                return;
        }
        if (!registration) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        if (!rd_registration_read(registration, request, false, response))
                return;
        if (!rd_links_in_order(request->body)) {
                response_error(response, CODE_BAD_REQUEST, "the links are no link-format (RFC 6690)");
                return;
        }
        resource_identify(rd->resource, request, &registration->owner);
        if (!rd_make_registration(rd, TAKE(registration), request->body, response))
                return;
        response->code = CODE_CREATED;
        response->location = span_of_string(made->id); /* the directory's now */
}

void rd_update(struct rd *rd, struct span id, const struct request *request, struct response *response)
{
        CLEANUP(rd_registration_freep) struct rd_registration *changed = NULL;
        struct rd_registration *old = rd_find(rd, id);

        if (!old) {
                response_error(response, CODE_NOT_FOUND, "there is no such registration");
                return;
        }
        if (!may_touch(rd, old, request, response))
                return;
        if (request->body.n > 0) {
                response_error(response, CODE_BAD_REQUEST, "links are replaced by registering again");
                return;
        }
        changed = rd_registration_copy(old);
        if (!changed) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        if (!rd_registration_read(changed, request, true, response))
                return;
        settle(rd, old, TAKE(changed), response);
        if (!response->code)
                response->code = CODE_CHANGED;
}

void rd_delete(struct rd *rd, struct span id, const struct request *request, struct response *response)
{
        struct rd_registration *registration = rd_find(rd, id);
        int r;

        if (!registration) {
                response_error(response, CODE_NOT_FOUND, "there is no such registration");
                return;
        }
        if (!may_touch(rd, registration, request, response))
                return;
        r = resource_unstore(rd->resource, id);
        if (r < 0) {
                response_refused_by_store(response, r);
                return;
        }
        rd_remove(rd, registration);
        response->code = CODE_DELETED;
}
