/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry as seen and used by the operator: listings, and what is asked for by hand. See registry.h. */
#include <errno.h>

#include "base/content_format.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

/* --- listings --- */

int registry_list_sessions(const struct registry *registry, const struct listing_place *after, size_t max,
                           visit_client visit, void *closure)
{
        struct client *client = clients_first(registry->clients, after->row);

        for (size_t n = 0; client; client = client->next, n++) {
                struct listing_place place = { .row = client->serial };
                int r = n == max ? 1 : visit(closure, &place, client->session, NULL, client->n_observations);

                if (r != 0)
                        return r;
        }
        return 0;
}

/* Resources of one path share its observers. */
static bool speaks_for_its_path(const struct resource *resource)
{
        return !resource->gone && resource->place && resource->place->first == resource;
}

int registry_list_observers(const struct registry *registry, const struct listing_place *after, size_t max,
                            visit_client visit, void *closure)
{
        const struct resource *resource = registry->first;
        size_t n = 0;

        while (resource && resource->serial < after->group)
                resource = resource->next;
        for (; resource; resource = resource->next) {
                uint64_t before = resource->serial == after->group ? after->row : 0;

                if (!speaks_for_its_path(resource))
                        continue;
                for (const struct observation *one = observations_first(&resource->place->observers, before);
                     one; one = observation_next(one), n++) {
                        struct listing_place place = { resource->serial, observation_serial(one) };
                        int r = n == max
                                        ? 1
                                        : visit(closure, &place, observation_session(one), resource->path, 1);

                        if (r != 0)
                                return r;
                }
        }
        return 0;
}

static void fill_dynamic(const struct resource *resource, struct listed_resource *row)
{
        struct request get = { .method = METHOD_GET, .content_format = -1, .accept = -1 };
        struct response response = { .max_age = -1 };

        row->attributes = dynamic_attributes(resource->self);
        resource->kind->handle[METHOD_GET](resource->self, &get, &response);
        if (!response.content)
                return;
        row->body = span_of(response.content->data, (size_t)response.content->size);
        /* The resource has it still. */
        representation_unref(response.content);
}

static void fill(const struct resource *resource, const char *hosts, struct listed_resource *row)
{
        int formats[MAX_FORMATS];

        *row = (struct listed_resource){
                .path = resource->path,
                .hosts = hosts,
                .kind = resource->kind->name,
                .title = resource->conf ? resource->conf->title : NULL,
                .dynamic = resource_is_dynamic(resource),
                .observers = speaks_for_its_path(resource) ? resource->place->observers.n : 0,
                .content_format = -1,
        };
        if (!resource->self)
                return;
        if (resource->kind->size) {
                row->size = resource->kind->size(resource->self);
                row->has_size = true;
        }
        if (resource->kind->formats && resource->kind->formats(resource->self, formats, MAX_FORMATS) == 1)
                row->content_format = formats[0];
        if (row->dynamic)
                fill_dynamic(resource, row);
}

static void join_hosts(const struct resource *resource, struct buf *out)
{
        const struct conf_resource *conf = resource_configured(resource)->conf;

        buf_reset(out);
        for (size_t i = 0; conf && i < conf->host.n; i++) {
                buf_append_string(out, i ? " " : "");
                buf_append_string(out, conf->host.v[i]);
        }
}

int registry_list_resources(const struct registry *registry, const struct listing_place *after, size_t max,
                            visit_resource visit, void *closure)
{
        CLEANUP(buf_deinit) struct buf hosts = { 0 };
        size_t n = 0;

        for (const struct resource *resource = registry->first; resource; resource = resource->next) {
                struct listing_place place = { .row = resource->serial };
                struct listed_resource row;
                int r;

                if (resource->serial <= after->row || resource->gone)
                        continue;
                if (n++ == max)
                        return 1;
                join_hosts(resource, &hosts);
                fill(resource, buf_string(&hosts), &row);
                r = visit(closure, &place, &row);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* --- by hand --- */

/* A slash in front is no part of a path; what is not percent-encoded is, then. */
static struct resource *find_spelled(const struct registry *registry, struct span path)
{
        CLEANUP(buf_deinit) struct buf spelled = { 0 };
        struct resource *found;

        if (path.n > 0 && path.p[0] == '/')
                path = span_skip(path, 1);
        found = registry_find_all(registry, path);
        if (found)
                return found;
        uri_path_encode(path, &spelled);
        return buf_ok(&spelled) ? registry_find_all(registry, buf_span(&spelled)) : NULL;
}

int registry_notify(struct registry *registry, struct span path, bool *ret_observed)
{
        struct resource *resource = find_spelled(registry, path);

        if (!resource || resource->gone)
                return -ENOENT;
        *ret_observed = resource_changed(resource);
        return 0;
}

/* What libcoap would make of a request for it. */
static bool is_spelled_well(struct span path)
{
        if (path.n == 0 || path.p[0] == '/')
                return false;
        for (size_t i = 0; i < path.n; i++)
                if (path.p[i] <= ' ' || path.p[i] >= 0x7f || path.p[i] == '?' || path.p[i] == '#')
                        return false;
        return true;
}

static const char *refuse_import(const struct registry *registry, const struct stored_resource *stored,
                                 const struct resource *there)
{
        if (!is_spelled_well(stored->path))
                return "this is no path, expected one such as room/temperature, percent-encoded";
        if (there && !resource_is_dynamic(there))
                return "the configuration has this path";
        if (!there && !dynamic_may_exist(registry, stored->path))
                return "the configuration does not let it exist: see dynamic.enable and dynamic.prefix";
        if (stored->body.n > dynamic_max_body(registry))
                return "the body is larger than dynamic.max_size";
        if (stored->content_format < -1 || stored->content_format > CONTENT_FORMAT_MAX)
                return "this is no content format";
        return NULL;
}

int registry_import(struct registry *registry, const struct stored_resource *stored, bool *ret_created,
                    char *why, size_t size)
{
        struct resource *there = registry_find_all(registry, stored->path);
        struct request put = {
                .method = METHOD_PUT,
                .path = stored->path,
                .queries = { stored->attributes },
                .n_queries = stored->attributes.n > 0,
                .body = stored->body,
                .content_format = stored->content_format,
                .accept = -1,
        };
        struct response response = { .max_age = -1 };
        const char *refused = refuse_import(registry, stored, there);

        if (refused) {
                snprintf(why, size, "%s", refused);
                return -EPERM;
        }
        if (there && !there->gone)
                there->kind->handle[METHOD_PUT](there->self, &put, &response);
        else
                dynamic_create(registry, &put, &response);
        representation_unref(response.content);
        if (response.code >> 5 != 2) {
                snprintf(why, size, "%s", response.diagnostic ? response.diagnostic : "it failed");
                return -EIO;
        }
        *ret_created = response.code == CODE_CREATED;
        registry->host.kick(registry->host.user);
        return 0;
}
