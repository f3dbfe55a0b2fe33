/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths below a KIND_SUBTREE that are observed. Each is a resource without a kind's state of its own, made when
 * somebody wants to observe it, and gone when its content changes and nobody is there to be told.
 */
#include <time.h>
#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"

/* Each is about 500 bytes, and libcoap walks over all of its resources when it notifies. */
enum { MAX_BELOW = 10000, UDP_HEADER = 4 };

/* A request that libcoap will hand in again, as it came. */
struct below_request {
        struct below_request *next;
        const coap_session_t *session;
        struct buf message;
};

struct resource *below_find_parent(const struct registry *registry, struct span path, const char *host)
{
        struct span head = path;

        while (head.n > 0) {
                struct resource *resource;

                while (head.n > 0 && head.p[head.n - 1] != '/')
                        head.n--;
                if (head.n > 0)
                        head.n--;
                resource = registry_find_at(registry, head, host);
                if (resource && resource->kind->flags & KIND_SUBTREE && !resource->gone && !resource->parent)
                        return resource;
        }
        return NULL;
}

struct span below_rest_of(const struct resource *parent, struct span path)
{
        size_t n = strlen(parent->path);

        return span_skip(path, n ? n + 1 : 0);
}

struct span below_rest(const struct resource *resource)
{
        return below_rest_of(resource->parent, span_of_string(resource->path));
}

int below_add(struct registry *registry, struct resource *parent, struct span path)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        int r;

        if (!parent->kind->observe_below || !parent->conf->observable)
                return -EOPNOTSUPP;
        if (registry->n_below >= MAX_BELOW)
                return -ENOSPC;
        r = parent->kind->observe_below(parent->self, below_rest_of(parent, path));
        if (r < 0)
                return r;
        buf_append_span(&text, path);
        if (!buf_ok(&text))
                return -ENOMEM;
        return registry_add_below(registry, parent, buf_string(&text));
}

/* --- requests that come again --- */

static void request_free(struct below_request *request)
{
        buf_deinit(&request->message);
        free(request);
}

enum { AGAIN_US = 2000 };

static int on_again(sd_event_source *source, uint64_t usec, void *user)
{
        struct registry *registry = user;

        for (const struct below_request *put_off = registry->below_requests; put_off; put_off = put_off->next)
                registry->host.kick_soon(registry->host.user, registry_shard_of(registry, put_off->session));
        if (!registry->below_requests)
                return 0;
        sd_event_source_set_time(source, usec + AGAIN_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/*
 * libcoap turns its timer off when the moment that it is for has passed while it was being set (4.3.4 and 4.3.5,
 * coap_io_prepare_epoll()), and would come back to the request with the next datagram only.
 */
static void make_sure_of_it(struct registry *registry)
{
        uint64_t at;

        if (sd_event_now(registry->host.event, CLOCK_MONOTONIC, &at) < 0)
                return;
        at += AGAIN_US;
        if (!registry->again) {
                sd_event_add_time(registry->host.event, &registry->again, CLOCK_MONOTONIC, at, 1, on_again,
                                  registry);
                return;
        }
        sd_event_source_set_time(registry->again, at);
        sd_event_source_set_enabled(registry->again, SD_EVENT_ONESHOT);
}

bool below_put_off(struct registry *registry, coap_session_t *session, const coap_pdu_t *request)
{
        enum { TICK = 1 };
        struct below_request *put_off = calloc(1, sizeof *put_off);

        if (!put_off)
                return false;
        put_off->session = session;
        message_encode(request, &put_off->message);
        if (!buf_ok(&put_off->message) || !coap_register_async(session, request, TICK)) {
                request_free(put_off);
                return false;
        }
        put_off->next = registry->below_requests;
        registry->below_requests = put_off;
        make_sure_of_it(registry);
        return true;
}

static bool is_of(const struct below_request *put_off, const coap_session_t *session, struct span headless)
{
        return put_off->session == session &&
               span_equal(span_skip(buf_span(&put_off->message), UDP_HEADER), headless);
}

static void forget(struct registry *registry, const coap_session_t *session, const struct span *headless)
{
        struct below_request **link = &registry->below_requests;

        for (struct below_request *put_off = *link; put_off; put_off = *link) {
                if (session &&
                    (put_off->session != session || (headless && !is_of(put_off, session, *headless)))) {
                        link = &put_off->next;
                        continue;
                }
                *link = put_off->next;
                request_free(put_off);
        }
}

void below_came_again(struct registry *registry, const coap_session_t *session, const coap_pdu_t *request)
{
        CLEANUP(buf_deinit) struct buf message = { 0 };
        struct span headless;

        if (!registry->below_requests)
                return;
        message_encode(request, &message);
        headless = span_skip(buf_span(&message), UDP_HEADER);
        forget(registry, session, &headless);
}

void below_forget(struct registry *registry, const coap_session_t *session)
{
        forget(registry, session, NULL);
}

struct span registry_whole_request(const struct registry *registry, const coap_session_t *session,
                                   struct span headless)
{
        for (const struct below_request *put_off = registry->below_requests; put_off; put_off = put_off->next)
                if (is_of(put_off, session, headless))
                        return buf_span(&put_off->message);
        return (struct span){ 0 };
}

static void observe_at(struct registry *registry, struct span path, const char *host)
{
        struct resource *parent =
                registry_find_at(registry, path, host) ? NULL : below_find_parent(registry, path, host);

        if (parent)
                below_add(registry, parent, path);
}

/* Which of its hosts it is for is not known here: it is made observable at each. */
coap_resource_t *registry_observable(struct registry *registry, struct span path, size_t shard)
{
        struct resource *resource;

        observe_at(registry, path, NULL);
        for (size_t i = 0; i < registry->hosts.n; i++)
                observe_at(registry, path, registry->hosts.names[i]);
        resource = registry_find_all(registry, path);
        return resource ? place_handle(resource->place, shard) : NULL;
}

/* --- changes --- */

void below_remember(struct resource *parent)
{
        for (struct resource *resource = parent->registry->first; resource; resource = resource->next)
                if (resource->parent == parent)
                        resource->before =
                                resource_etag(parent, span_of_string(resource->path), below_rest(resource));
}

static bool is_another(const struct resource *resource)
{
        struct etag now =
                resource_etag(resource->parent, span_of_string(resource->path), below_rest(resource));

        return !now.n || !etag_equal(&now, &resource->before);
}

void below_move(struct resource *parent)
{
        struct registry *registry = parent->registry;
        struct resource *next;

        for (struct resource *resource = registry->first; resource; resource = next) {
                next = resource->next;
                if (resource->parent != parent)
                        continue;
                if (!parent->kind->observe_below || !parent->conf->observable ||
                    parent->kind->observe_below(parent->self, below_rest(resource)) < 0)
                        registry_remove(resource);
                else if (is_another(resource))
                        resource_changed(resource);
                else if (resource->observed)
                        resource_repeat(resource);
        }
}

static struct resource *find_below(const struct resource *parent, struct span rest)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct resource *resource;

        buf_append_string(&path, parent->path);
        if (path.n > 0)
                buf_append_byte(&path, '/');
        buf_append_span(&path, rest);
        resource = buf_ok(&path) ? registry_find_all(parent->registry, buf_span(&path)) : NULL;
        while (resource && resource->parent != parent)
                resource = resource->next_host;
        return resource;
}

bool resource_below_changed(struct resource *parent, struct span rest)
{
        struct resource *resource = find_below(parent, rest);

        if (!resource)
                return false;
        if (resource_changed(resource))
                return true;
        registry_remove(resource);
        return false;
}

void resource_below_gone(struct resource *parent, struct span rest)
{
        struct resource *resource = find_below(parent, rest);

        if (!resource)
                return;
        registry_remove(resource);
        parent->registry->host.kick(parent->registry->host.user);
}
