/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests with Proxy-Uri or Proxy-Scheme (RFC 7252, 5.10.2): each is made into one for a path below the resource that
 * forwards, SCHEME/HOST:PORT/PATH, and served as such. So access rules, the cache, observations and what is kept over a
 * restart are those of paths. libcoap sees this request in place of the first as soon as it is to be handed in again.
 */
#include <errno.h>

#include "resources/internal.h"
#include "resources/proxy_ways.h"
#include "resources/uri_path.h"
#include "resources/uri_reference.h"

enum { PATH_MOST = 1024, MORE_ROOM = 1536 };

static void put(coap_optlist_t **list, unsigned number, struct span value)
{
        coap_insert_optlist(list, coap_new_optlist((uint16_t)number, value.n, value.p));
}

static void put_path(coap_optlist_t **list, const char *path)
{
        for (const char *end; *path; path = *end ? end + 1 : end) {
                end = strchrnul(path, '/');
                put(list, COAP_OPTION_URI_PATH, span_of(path, (size_t)(end - path)));
        }
}

/* What coap_split_path() and coap_split_query() write: options whose numbers are left out. */
static void put_split(coap_optlist_t **list, unsigned number, const uint8_t *options, int n)
{
        for (int i = 0; i < n; i++) {
                size_t length = coap_opt_length(options);

                put(list, number, span_of(coap_opt_value(options), length));
                options = coap_opt_value(options) + length;
        }
}

static bool put_target(coap_optlist_t **list, const coap_uri_t *uri)
{
        CLEANUP(buf_deinit) struct buf scheme = { 0 }, authority = { 0 };

        if (!way_spell(uri, &scheme, &authority) || !buf_ok(&scheme) || !buf_ok(&authority))
                return false;
        put(list, COAP_OPTION_URI_PATH, buf_span(&scheme));
        put(list, COAP_OPTION_URI_PATH, buf_span(&authority));
        return true;
}

static const char no_scheme[] = "only coap, coaps, coap+tcp and coaps+tcp go through here";

/* A segment ".." of a path as it stands in a URI, which libcoap would leave out. */
static bool goes_up(struct span path)
{
        size_t dots = 0;
        bool others = false;

        for (; path.n > 0; path = span_skip(path, 1)) {
                if (path.p[0] == '/') {
                        if (dots == 2 && !others)
                                return true;
                        dots = others = 0;
                } else if (path.p[0] == '.') {
                        dots++;
                } else if (path.n >= 3 && path.p[0] == '%' && path.p[1] == '2' && (path.p[2] | 0x20) == 'e') {
                        dots++;
                        path = span_skip(path, 2);
                } else {
                        others = true;
                }
        }
        return dots == 2 && !others;
}

static void put_proxy_uri(coap_optlist_t **list, struct span text, struct response *response)
{
        uint8_t options[2 * PATH_MOST];
        size_t size = sizeof options;
        coap_uri_t uri;
        int n;

        if (text.n > PATH_MOST || !uri_reference_is_valid(text) ||
            coap_split_proxy_uri(text.p, text.n, &uri) < 0 || uri.host.length == 0) {
                response_error(response, CODE_BAD_OPTION, "Proxy-Uri is no URI with a host");
                return;
        }
        if (!put_target(list, &uri)) {
                response_error(response, CODE_PROXYING_NOT_SUPPORTED, "%s", no_scheme);
                return;
        }
        if (goes_up(span_of(uri.path.s, uri.path.length))) {
                response_error(response, CODE_BAD_OPTION, "Proxy-Uri has a segment of two dots");
                return;
        }
        n = uri.path.length ? coap_split_path(uri.path.s, uri.path.length, options, &size) : 0;
        if (n >= 0)
                put_split(list, COAP_OPTION_URI_PATH, options, n);
        size = sizeof options;
        if (n >= 0)
                n = uri.query.length ? coap_split_query(uri.query.s, uri.query.length, options, &size) : 0;
        if (n >= 0)
                put_split(list, COAP_OPTION_URI_QUERY, options, n);
        else
                response_error(response, CODE_BAD_OPTION,
                               "Proxy-Uri has a path or a query that cannot be read");
}

static struct span option_of(const coap_pdu_t *request, coap_option_num_t number)
{
        coap_opt_t *option = message_option(request, number);

        return option ? span_of(coap_opt_value(option), coap_opt_length(option)) : (struct span){ 0 };
}

/* With the port that its scheme has: what the request came to is a port of ours. */
static void put_proxy_scheme(coap_optlist_t **list, const coap_pdu_t *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        struct span host = option_of(request, COAP_OPTION_URI_HOST);
        struct span port = option_of(request, COAP_OPTION_URI_PORT);
        bool six = host.n && memchr(host.p, ':', host.n) && host.p[0] != '[';
        coap_uri_t uri;

        buf_append_span(&text, option_of(request, COAP_OPTION_PROXY_SCHEME));
        buf_append_string(&text, six ? "://[" : "://");
        buf_append_span(&text, host);
        buf_append_string(&text, six ? "]" : "");
        if (port.n)
                buf_printf(&text, ":%u", (unsigned)coap_decode_var_bytes(port.p, port.n));
        if (!buf_ok(&text) || coap_split_proxy_uri(text.p, text.n, &uri) < 0 || uri.host.length == 0 ||
            uri.path.length || uri.query.length)
                response_error(response, CODE_BAD_OPTION, "Proxy-Scheme and Uri-Host make no URI");
        else if (!put_target(list, &uri))
                response_error(response, CODE_PROXYING_NOT_SUPPORTED, "%s", no_scheme);
}

/* The others. Proxy-Uri stands in for all of Uri-* (RFC 7252, 5.10.2). */
static void put_others(coap_optlist_t **list, const coap_pdu_t *request, bool whole_uri)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };

                switch (iterator.number) {
                case COAP_OPTION_PROXY_URI:
                case COAP_OPTION_PROXY_SCHEME:
                case COAP_OPTION_URI_HOST:
                case COAP_OPTION_URI_PORT:
                        break;
                case COAP_OPTION_URI_PATH:
                case COAP_OPTION_URI_QUERY:
                        if (!whole_uri)
                                put(list, iterator.number, value);
                        break;
                default:
                        put(list, iterator.number, value);
                }
        }
}

static bool forwards(const struct resource *resource)
{
        return !resource->parent && resource->conf && resource->kind->forwards &&
               resource->kind->forwards(resource->conf->fields);
}

/* The first that has a way to the path that the options make; else the first of all, which says that it has none. */
static struct resource *find_forward(const struct registry *registry, const coap_optlist_t *list)
{
        CLEANUP(buf_deinit) struct buf rest = { 0 };

        for (; list; list = list->next) {
                if (list->number != COAP_OPTION_URI_PATH)
                        continue;
                if (rest.n > 0)
                        buf_append_byte(&rest, '/');
                uri_path_encode_segment(span_of(list->data, list->length), &rest);
        }
        for (struct resource *resource = registry->first; resource && buf_ok(&rest);
             resource = resource->next)
                if (forwards(resource) && resource->kind->has_way(resource->self, buf_span(&rest)))
                        return resource;
        return registry->forward;
}

/* The request as one for *ret_forward; NULL: the response says why not. */
static coap_pdu_t *rewrite(const struct registry *registry, const coap_session_t *session,
                           const coap_pdu_t *request, struct resource **ret_forward,
                           struct response *response)
{
        struct span whole = option_of(request, COAP_OPTION_PROXY_URI);
        coap_bin_const_t token = coap_pdu_get_token(request);
        coap_optlist_t *list = NULL, *below = NULL;
        const uint8_t *data = NULL;
        coap_pdu_t *pdu = NULL;
        size_t n = 0;

        if (whole.p)
                put_proxy_uri(&below, whole, response);
        else
                put_proxy_scheme(&below, request, response);
        put_others(&below, request, whole.p);
        *ret_forward = find_forward(registry, below);
        put_path(&list, (*ret_forward)->conf->path);
        for (const coap_optlist_t *option = below; option; option = option->next)
                put(&list, option->number, span_of(option->data, option->length));
        coap_delete_optlist(below);
        coap_get_data(request, &n, &data);
        if (!response->code)
                pdu = coap_pdu_init(coap_pdu_get_type(request), coap_pdu_get_code(request),
                                    coap_pdu_get_mid(request),
                                    coap_session_max_pdu_size(session) + MORE_ROOM);
        if (pdu && (!coap_add_token(pdu, token.length, token.s) || !coap_add_optlist_pdu(pdu, &list) ||
                    (n > 0 && !coap_add_data(pdu, n, data)))) {
                coap_delete_pdu(pdu);
                pdu = NULL;
        }
        coap_delete_optlist(list);
        if (!pdu && !response->code)
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        return pdu;
}

/*
 * Who observes, or does no longer, libcoap has to see for itself, at the resource that stands for the path. Returns
 * whether the request comes again for that.
 */
static bool comes_again(struct resource *forward, const struct message *m, struct response *response)
{
        struct registry *registry = forward->registry;

        if (response->later || response->code >> 5 != 2 || !message_option(m->pdu, COAP_OPTION_OBSERVE))
                return false;
        if (m->request.observe)
                below_make_observable(forward, m->request.path, registry_shard_of(registry, m->session));
        if (!registry_find_all(registry, m->request.path) ||
            !pending_put_off(registry->pendings, m->session, m->pdu))
                return false;
        representation_unref(TAKE(response->content));
        response->later = true;
        return true;
}

static void serve_rewritten(struct resource *forward, coap_session_t *session, const coap_pdu_t *request,
                            coap_pdu_t *response_pdu)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct response response = { .max_age = -1 };
        struct message m;

        if (!uri_path_of(request, &path)) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_INTERNAL_ERROR);
                return;
        }
        if (gate_read(forward->registry, session, request, buf_span(&path), &m, &response)) {
                m.request.rest = below_rest_of(forward, m.request.path);
                rules_serve(forward, &m, &response);
                comes_again(forward, &m, &response);
        }
        serve_finish(forward->registry, &m, &response, response_pdu);
}

static void serve_proxied(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                          const coap_string_t *query, coap_pdu_t *response_pdu)
{
        struct registry *registry = coap_resource_get_userdata(handle);
        struct response response = { .max_age = -1 };
        struct message refused = { .session = session, .pdu = request };
        struct resource *forward = NULL;
        coap_pdu_t *rewritten = NULL;

        (void)query;
        if (!gate_enter(registry, session, NULL, request, response_pdu))
                return;
        if (registry->forward)
                rewritten = rewrite(registry, session, request, &forward, &response);
        else
                response_error(&response, CODE_PROXYING_NOT_SUPPORTED, "this is no forward proxy");
        if (rewritten) {
                serve_rewritten(forward, session, rewritten, response_pdu);
        } else {
                refused.request.method = (enum method)coap_pdu_get_code(request);
                refused.request.content_format = refused.request.accept = -1;
                refused.token = coap_pdu_get_token(request);
                serve_finish(registry, &refused, &response, response_pdu);
        }
        gate_leave(registry, session, request, response_pdu);
        coap_delete_pdu(rewritten);
}

/* Once it is known to libcoap it stays: without a resource that forwards it says 5.05, as libcoap would. */
static int offer(struct registry *registry, coap_context_t *context)
{
        /* libcoap wants a name by which requests are for the server itself. */
        const char *names[] = { "coapd.invalid" };
        coap_resource_t *handle = coap_resource_proxy_uri_init(serve_proxied, ARRAY_LEN(names), names);

        if (!handle)
                return -ENOMEM;
        coap_resource_set_userdata(handle, registry);
        coap_add_resource(context, handle);
        return 0;
}

int proxied_apply(struct registry *registry)
{
        int r = 0;

        registry->forward = NULL;
        for (struct resource *resource = registry->first; resource; resource = resource->next)
                if (!registry->forward && forwards(resource))
                        registry->forward = resource;
        if (!registry->forward || registry->offers_forward)
                return 0;
        for (size_t i = 0; i < registry->host.shards.n && r == 0; i++)
                r = offer(registry, registry->host.shards.v[i]);
        registry->offers_forward = r == 0;
        return r;
}
