/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon has, as answers of a bounded size. */
#include "control/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "coapd_version.h"

enum {
        PAGE_ROWS = 256,
        PAGE_BYTES = 1 << 16, /* of bodies; the row that exceeds it is the last of its page */
        BODY_MAX = 6 << 20,   /* sd-varlink's messages have at most 16 MiB, and a byte takes two of them */
};

static void variant_unref(sd_json_variant **variant)
{
        sd_json_variant_unref(*variant);
}

/*
 * Whoever asks for the next page has read the last one. Else the answer is made for nothing, and many of them would
 * keep the loop from everybody: there is a short one instead. Returns 0 to go on; else the caller returns it.
 */
static int check_that_it_reads(sd_varlink *link)
{
        int events = sd_varlink_get_events(link);

        if (events < 0 || !(events & EPOLLOUT))
                return MIN(events, 0);
        events = sd_varlink_error(link, CONTROL_INTERFACE ".AnswersNotRead", NULL);
        return events < 0 ? events : 1;
}

/* Text of the config or of a client, which need not be UTF-8. */
static int text_new(struct span text, sd_json_variant **ret)
{
        int r = sd_json_variant_new_stringn(ret, (const char *)text.p, text.n);

        return r >= 0 ? r : sd_json_variant_new_string(ret, LOG_ESCAPE(text));
}

/* --- status --- */

static int add_counters(const struct metrics *metrics, sd_json_variant **counters)
{
        static const struct {
                const char *name;
                size_t offset;
        } table[] = {
#define COUNTER(name, text) { #name, offsetof(struct metrics, name) },
                METRICS(COUNTER)
#undef COUNTER
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_LEN(table) && r >= 0; i++) {
                uint64_t value;

                memcpy(&value, (const char *)metrics + table[i].offset, sizeof value);
                r = sd_json_variant_set_field_unsigned(counters, table[i].name, value);
        }
        return r;
}

int control_status(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags, void *user)
{
        struct control *control = user;
        CLEANUP(variant_unref) sd_json_variant *counters = NULL;
        struct daemon_state state;
        int r = check_that_it_reads(link);

        (void)flags;
        if (r == 0)
                r = sd_varlink_dispatch(link, parameters, (const sd_json_dispatch_field[]){ { 0 } }, NULL);
        if (r != 0)
                return r;
        control->host.describe(control->host.user, &state);
        r = add_counters(&state.metrics, &counters);
        if (r < 0)
                return r;
        return sd_varlink_replybo(
                link, SD_JSON_BUILD_PAIR_STRING("version", COAPD_VERSION),
                SD_JSON_BUILD_PAIR_INTEGER("pid", getpid()),
                SD_JSON_BUILD_PAIR_STRING("config", control->host.config_file),
                SD_JSON_BUILD_PAIR_UNSIGNED("uptime", state.uptime_s),
                SD_JSON_BUILD_PAIR_UNSIGNED("endpoints", state.endpoints),
                SD_JSON_BUILD_PAIR_UNSIGNED("sessions",
                                            state.metrics.sessions_opened - state.metrics.sessions_closed),
                SD_JSON_BUILD_PAIR_UNSIGNED("observers", state.metrics.observations_now),
                SD_JSON_BUILD_PAIR_UNSIGNED("resources_configured", state.resources_configured),
                SD_JSON_BUILD_PAIR_UNSIGNED("resources_dynamic", state.resources_dynamic),
                SD_JSON_BUILD_PAIR_UNSIGNED("dynamic_bytes", state.dynamic_bytes),
                SD_JSON_BUILD_PAIR_OBJECT("store", SD_JSON_BUILD_PAIR_STRING("engine", state.store_engine),
                                          SD_JSON_BUILD_PAIR_BOOLEAN("writable", state.store_writable),
                                          SD_JSON_BUILD_PAIR_UNSIGNED("bytes", state.store_bytes)),
                SD_JSON_BUILD_PAIR_VARIANT("counters", counters));
}

/* --- listings --- */

struct page {
        sd_json_variant *rows[PAGE_ROWS];
        size_t n;
        size_t bytes;
        bool bodies;
        struct listing_place last; /* what the next page comes after */
};

static void page_deinit(struct page *page)
{
        while (page->n > 0)
                sd_json_variant_unref(page->rows[--page->n]);
}

/* `more`: as the listing has returned it. */
static int page_reply(sd_varlink *link, const char *name, struct page *page, int more)
{
        char next[48];

        if (more < 0)
                return more;
        snprintf(next, sizeof next, "%llu.%llu", (unsigned long long)page->last.group,
                 (unsigned long long)page->last.row);
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT_ARRAY(name, page->rows, page->n),
                                  SD_JSON_BUILD_PAIR_CONDITION(more > 0, "next", SD_JSON_BUILD_STRING(next)));
}

struct page_request {
        struct listing_place after;
        bool bodies;
};

static int dispatch_place(const char *name, sd_json_variant *variant, sd_json_dispatch_flags_t flags,
                          void *member)
{
        struct listing_place *place = member;
        unsigned long long group, row;

        (void)name, (void)flags;
        if (sscanf(sd_json_variant_string(variant), "%llu.%llu", &group, &row) != 2)
                return -EINVAL;
        *place = (struct listing_place){ group, row };
        return 0;
}

/* Fills a page with what comes after a place, as the functions of struct control_host do, and returns what they do. */
typedef int fill_page(const struct control *control, const struct listing_place *after, struct page *page);

static int reply_with_page(sd_varlink *link, sd_json_variant *parameters, const char *name, fill_page *fill,
                           const struct control *control)
{
        static const sd_json_dispatch_field fields[] = {
                { "after", SD_JSON_VARIANT_STRING, dispatch_place, offsetof(struct page_request, after),
                  SD_JSON_NULLABLE },
                { "bodies", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(struct page_request, bodies), SD_JSON_NULLABLE },
                { 0 },
        };
        CLEANUP(page_deinit) struct page page = { 0 };
        struct page_request request = { 0 };
        int r = check_that_it_reads(link);

        if (r == 0)
                r = sd_varlink_dispatch(link, parameters, fields, &request);
        if (r != 0)
                return r;
        page.bodies = request.bodies;
        r = fill(control, &request.after, &page);
        return page_reply(link, name, &page, r);
}

/* What the visitors of sessions and observers do with a row that was built, or was not. */
static int page_take(struct page *page, const struct listing_place *place, int built)
{
        page->last = *place;
        page->n += built >= 0;
        return MIN(built, 0);
}

/* --- endpoints: all that there are go into one page --- */

static int add_endpoint(void *closure, const struct listed_endpoint *endpoint)
{
        struct page *page = closure;
        int r;

        if (page->n == PAGE_ROWS)
                return 1;
        r = sd_json_buildo(&page->rows[page->n], SD_JSON_BUILD_PAIR_STRING("transport", endpoint->transport),
                           SD_JSON_BUILD_PAIR_STRING("address", endpoint->address),
                           SD_JSON_BUILD_PAIR_STRING("groups", endpoint->groups),
                           SD_JSON_BUILD_PAIR_UNSIGNED("waiting", endpoint->waiting),
                           SD_JSON_BUILD_PAIR_UNSIGNED("dropped", endpoint->dropped));
        page->n += r >= 0;
        return MIN(r, 0);
}

int control_list_endpoints(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user)
{
        struct control *control = user;
        CLEANUP(page_deinit) struct page page = { 0 };
        int r = check_that_it_reads(link);

        (void)flags;
        if (r == 0)
                r = sd_varlink_dispatch(link, parameters, (const sd_json_dispatch_field[]){ { 0 } }, NULL);
        if (r != 0)
                return r;
        r = control->host.list_endpoints(control->host.user, add_endpoint, &page);
        return page_reply(link, "endpoints", &page, MIN(r, 0));
}

/* --- sessions --- */

static int add_session(void *closure, const struct listing_place *place, const struct listed_session *session)
{
        struct page *page = closure;
        int r = sd_json_buildo(&page->rows[page->n],
                               SD_JSON_BUILD_PAIR_STRING("transport", session->transport),
                               SD_JSON_BUILD_PAIR_STRING("peer", session->peer),
                               SD_JSON_BUILD_PAIR_STRING("local", session->local),
                               SD_JSON_BUILD_PAIR_STRING("identity", session->identity),
                               SD_JSON_BUILD_PAIR_UNSIGNED("observations", session->observations));

        return page_take(page, place, r);
}

static int fill_sessions(const struct control *control, const struct listing_place *after, struct page *page)
{
        return control->host.list_sessions(control->host.user, after, PAGE_ROWS, add_session, page);
}

int control_list_sessions(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                          void *user)
{
        (void)flags;
        return reply_with_page(link, parameters, "sessions", fill_sessions, user);
}

/* --- observers --- */

static int add_observer(void *closure, const struct listing_place *place,
                        const struct listed_observer *observer)
{
        struct page *page = closure;
        int r = sd_json_buildo(&page->rows[page->n],
                               SD_JSON_BUILD_PAIR_STRING("resource", observer->resource),
                               SD_JSON_BUILD_PAIR_STRING("transport", observer->transport),
                               SD_JSON_BUILD_PAIR_STRING("peer", observer->peer),
                               SD_JSON_BUILD_PAIR_STRING("local", observer->local),
                               SD_JSON_BUILD_PAIR_STRING("identity", observer->identity));

        return page_take(page, place, r);
}

static int fill_observers(const struct control *control, const struct listing_place *after, struct page *page)
{
        return control->host.list_observers(control->host.user, after, PAGE_ROWS, add_observer, page);
}

int control_list_observers(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user)
{
        (void)flags;
        return reply_with_page(link, parameters, "observers", fill_observers, user);
}

/* --- resources --- */

static int resource_row(const struct page *page, const struct listed_resource *resource,
                        sd_json_variant **ret)
{
        CLEANUP(variant_unref) sd_json_variant *title = NULL;
        CLEANUP(variant_unref) sd_json_variant *attributes = NULL;
        bool body = page->bodies && resource->body.n <= BODY_MAX;
        int r = resource->title ? text_new(span_of_string(resource->title), &title) : 0;

        if (r >= 0 && page->bodies && resource->attributes.n)
                r = text_new(resource->attributes, &attributes);
        if (r < 0)
                return r;
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("path", resource->path),
                SD_JSON_BUILD_PAIR_CONDITION(*resource->hosts, "hosts",
                                             SD_JSON_BUILD_STRING(resource->hosts)),
                SD_JSON_BUILD_PAIR_STRING("kind", resource->kind),
                SD_JSON_BUILD_PAIR_CONDITION(title != NULL, "title", SD_JSON_BUILD_VARIANT(title)),
                SD_JSON_BUILD_PAIR_UNSIGNED("observers", resource->observers),
                SD_JSON_BUILD_PAIR_CONDITION(resource->has_size, "size",
                                             SD_JSON_BUILD_UNSIGNED(resource->size)),
                SD_JSON_BUILD_PAIR_CONDITION(resource->content_format >= 0, "content_format",
                                             SD_JSON_BUILD_INTEGER(resource->content_format)),
                SD_JSON_BUILD_PAIR_CONDITION(attributes != NULL, "attributes",
                                             SD_JSON_BUILD_VARIANT(attributes)),
                SD_JSON_BUILD_PAIR_CONDITION(
                        body, "body_hex", SD_JSON_BUILD_HEX(resource->body.p, body ? resource->body.n : 0)));
}

static int add_resource(void *closure, const struct listing_place *place,
                        const struct listed_resource *resource)
{
        struct page *page = closure;
        int r;

        page->last = *place;
        if (page->bodies && !resource->dynamic)
                return 0;
        r = resource_row(page, resource, &page->rows[page->n]);
        if (r < 0)
                return r;
        page->n++;
        page->bytes += page->bodies ? resource->body.n : 0;
        return page->bytes >= PAGE_BYTES;
}

static int fill_resources(const struct control *control, const struct listing_place *after, struct page *page)
{
        return control->host.list_resources(control->host.user, after, PAGE_ROWS, add_resource, page);
}

int control_list_resources(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user)
{
        (void)flags;
        return reply_with_page(link, parameters, "resources", fill_resources, user);
}
