/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket, with a host that has what the test wants, and a client on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-varlink.h>

#include "base/util.h"
#include "control/control.h"

#define INTERFACE "io.coapd.Control."

/* What the host has, and what it was told. */
static struct {
        size_t rows;
        size_t body; /* of each resource */
        int result;
        char path[64];
        char attributes[64];
        uint8_t imported[64];
        size_t n_imported;
        int content_format;
} host;

static void describe(void *user, struct daemon_state *ret_state)
{
        (void)user;
        *ret_state = (struct daemon_state){ .uptime_s = 42,
                                            .resources_dynamic = host.rows,
                                            .store_engine = "none",
                                            .metrics = { .sessions_opened = 5, .sessions_closed = 2 } };
}

static int list_endpoints(void *user, visit_endpoint visit, void *closure)
{
        const struct listed_endpoint endpoint = { "udp", "127.0.0.1:5683", "", 1, 2 };
        int r = 0;

        (void)user;
        for (size_t i = 0; i < host.rows && r == 0; i++)
                r = visit(closure, &endpoint);
        return r;
}

/* Row i has the place (i / 100 + 1, i). Calls `visit` for each behind `after`, at most `max` of them. */
static int list(const struct listing_place *after, size_t max,
                int (*visit)(void *closure, const struct listing_place *place, size_t i), void *closure)
{
        size_t first = after->group ? after->row + 1 : 0;

        for (size_t i = first; i < host.rows; i++) {
                struct listing_place place = { i / 100 + 1, i };
                int r;

                if (i - first == max)
                        return 1;
                r = visit(closure, &place, i);
                if (r != 0)
                        return r < 0 ? r : i + 1 < host.rows;
        }
        return host.result;
}

struct visitor {
        void *closure;
        visit_session session;
        visit_observer observer;
        visit_resource resource;
};

static int visit_row(void *closure, const struct listing_place *place, size_t i)
{
        static const uint8_t body[1 << 20];
        const struct visitor *v = closure;
        char name[24];

        snprintf(name, sizeof name, "row/%zu", i);
        if (v->session)
                return v->session(v->closure, place,
                                  &(struct listed_session){ "udp", name, "here", "anyone", i });
        if (v->observer)
                return v->observer(v->closure, place,
                                   &(struct listed_observer){ "time", "udp", name, "here", "anyone" });
        return v->resource(v->closure, place,
                           &(struct listed_resource){ .path = name,
                                                      .hosts = "",
                                                      .kind = i % 2 ? "dynamic" : "time",
                                                      .title = "\xff",
                                                      .dynamic = i % 2,
                                                      .content_format = -1,
                                                      .body = { body, host.body } });
}

static int list_sessions(void *user, const struct listing_place *after, size_t max, visit_session visit,
                         void *closure)
{
        (void)user;
        return list(after, max, visit_row, &(struct visitor){ .closure = closure, .session = visit });
}

static int list_observers(void *user, const struct listing_place *after, size_t max, visit_observer visit,
                          void *closure)
{
        (void)user;
        return list(after, max, visit_row, &(struct visitor){ .closure = closure, .observer = visit });
}

static int list_resources(void *user, const struct listing_place *after, size_t max, visit_resource visit,
                          void *closure)
{
        (void)user;
        return list(after, max, visit_row, &(struct visitor){ .closure = closure, .resource = visit });
}

static int notify(void *user, struct span path, bool *ret_observed)
{
        (void)user;
        snprintf(host.path, sizeof host.path, "%.*s", (int)path.n, (const char *)path.p);
        *ret_observed = true;
        return host.result;
}

static int reload(void *user, FILE *out)
{
        (void)user;
        fputs("one\n\ntwo \xff\n", out);
        return host.result;
}

static int import(void *user, const struct stored_resource *stored, bool *ret_created, char *why, size_t size)
{
        (void)user;
        snprintf(host.path, sizeof host.path, "%.*s", (int)stored->path.n, (const char *)stored->path.p);
        snprintf(host.attributes, sizeof host.attributes, "%.*s", (int)stored->attributes.n,
                 (const char *)stored->attributes.p);
        assert_true(stored->body.n <= sizeof host.imported);
        host.n_imported = stored->body.n;
        memcpy(host.imported, stored->body.p, stored->body.n);
        host.content_format = stored->content_format;
        snprintf(why, size, "it is full");
        *ret_created = true;
        return host.result;
}

/* --- the rig --- */

static char folder[] = "/tmp/coapd-control-XXXXXX", path[64];
static sd_event *event;
static struct control *control;
static sd_varlink *client;

static struct control_host hooks(void)
{
        return (struct control_host){ .event = event,
                                      .config_file = "the file",
                                      .describe = describe,
                                      .list_endpoints = list_endpoints,
                                      .list_sessions = list_sessions,
                                      .list_observers = list_observers,
                                      .list_resources = list_resources,
                                      .notify = notify,
                                      .reload = reload,
                                      .import = import };
}

static int set_up(void **state)
{
        struct control_host h;

        (void)state;
        memset(&host, 0, sizeof host);
        memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/control", folder);
        assert_true(sd_event_new(&event) >= 0);
        h = hooks();
        assert_int_equal(control_open(path, &h, &control), 0);
        assert_true(sd_varlink_connect_address(&client, path) >= 0);
        return sd_varlink_attach_event(client, event, SD_EVENT_PRIORITY_NORMAL) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
        (void)state;
        sd_varlink_close_unref(client);
        /* The daemon's side of the connections holds the server: it sees their end first. */
        while (sd_event_run(event, 0) > 0)
                ;
        control_free(control);
        sd_event_unref(event);
        unlink(path);
        return rmdir(folder);
}

static sd_json_variant *reply;
static char error[128];

static int on_reply(sd_varlink *link, sd_json_variant *parameters, const char *error_id,
                    sd_varlink_reply_flags_t flags, void *user)
{
        (void)link, (void)flags, (void)user;
        reply = sd_json_variant_ref(parameters);
        snprintf(error, sizeof error, "%s", error_id ? error_id : "");
        return 0;
}

/* Calls the method and returns its answer, until the next call; `error` has its error. `parameters` is JSON. */
static sd_json_variant *call(const char *method, const char *parameters)
{
        sd_json_variant *variant = NULL;
        char name[64];

        snprintf(name, sizeof name, INTERFACE "%s", method);
        reply = sd_json_variant_unref(reply);
        assert_true(sd_json_parse(parameters, 0, &variant, NULL, NULL) >= 0);
        assert_true(sd_varlink_bind_reply(client, on_reply) >= 0);
        assert_true(sd_varlink_invoke(client, name, variant) >= 0);
        sd_json_variant_unref(variant);
        while (!reply)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        return reply;
}

static const char *text(sd_json_variant *object, const char *key)
{
        sd_json_variant *value = sd_json_variant_by_key(object, key);

        return value ? sd_json_variant_string(value) : "";
}

static uint64_t number(sd_json_variant *object, const char *key)
{
        sd_json_variant *value = sd_json_variant_by_key(object, key);

        assert_non_null(value);
        return sd_json_variant_unsigned(value);
}

/* --- what it shows --- */

static void shows_the_state(void **state)
{
        sd_json_variant *answer;

        (void)state;
        host.rows = 7;
        answer = call("Status", "{}");
        assert_string_equal(error, "");
        assert_string_equal(text(answer, "config"), "the file");
        assert_int_equal(number(answer, "uptime"), 42);
        assert_int_equal(number(answer, "sessions"), 3);
        assert_int_equal(number(answer, "resources_dynamic"), 7);
        assert_int_equal(number(sd_json_variant_by_key(answer, "counters"), "sessions_opened"), 5);
        assert_string_equal(text(sd_json_variant_by_key(answer, "store"), "engine"), "none");
        call("Status", "{\"nosuch\":1}");
        assert_string_equal(error, SD_VARLINK_ERROR_INVALID_PARAMETER);
}

/* Page by page: `key` of the rows is row/0, row/1 ... each once. Returns how many pages there were. */
static unsigned read_pages(const char *method, const char *name, const char *key)
{
        char parameters[80] = "{}";
        size_t seen = 0;

        for (unsigned pages = 1;; pages++) {
                sd_json_variant *answer = call(method, parameters);
                sd_json_variant *rows = sd_json_variant_by_key(answer, name);

                assert_string_equal(error, "");
                for (size_t i = 0; i < sd_json_variant_elements(rows); i++) {
                        char expected[24];

                        snprintf(expected, sizeof expected, "row/%zu", seen++);
                        assert_string_equal(text(sd_json_variant_by_index(rows, i), key), expected);
                }
                if (!*text(answer, "next")) {
                        assert_int_equal(seen, host.rows);
                        return pages;
                }
                snprintf(parameters, sizeof parameters, "{\"after\":\"%s\"}", text(answer, "next"));
        }
}

static void lists_by_the_page(void **state)
{
        static const struct {
                const char *method, *name, *key;
        } lists[] = {
                { "ListSessions", "sessions", "peer" },
                { "ListObservers", "observers", "peer" },
                { "ListResources", "resources", "path" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                host.rows = 0;
                assert_int_equal(read_pages(lists[i].method, lists[i].name, lists[i].key), 1);
                host.rows = 256;
                assert_int_equal(read_pages(lists[i].method, lists[i].name, lists[i].key), 1);
                host.rows = 600;
                assert_int_equal(read_pages(lists[i].method, lists[i].name, lists[i].key), 3);
                call(lists[i].method, "{\"after\":\"x\"}");
                assert_string_equal(error, SD_VARLINK_ERROR_INVALID_PARAMETER);
        }
}

static void lists_the_endpoints(void **state)
{
        sd_json_variant *answer;

        (void)state;
        host.rows = 2;
        answer = sd_json_variant_by_key(call("ListEndpoints", "{}"), "endpoints");
        assert_int_equal(sd_json_variant_elements(answer), 2);
        assert_string_equal(text(sd_json_variant_by_index(answer, 1), "address"), "127.0.0.1:5683");
        assert_int_equal(number(sd_json_variant_by_index(answer, 1), "dropped"), 2);
}

/* Of dynamic resources alone, and few on a page where they are large. */
static void dumps_bodies(void **state)
{
        sd_json_variant *rows;

        (void)state;
        host.rows = 10;
        host.body = 40000;
        rows = sd_json_variant_by_key(call("ListResources", "{\"bodies\":true}"), "resources");
        assert_int_equal(sd_json_variant_elements(rows), 2);
        assert_string_equal(text(sd_json_variant_by_index(rows, 0), "path"), "row/1");
        assert_int_equal(strlen(text(sd_json_variant_by_index(rows, 0), "body_hex")), 80000);
        /* What is no UTF-8 is spelled out. */
        assert_string_equal(text(sd_json_variant_by_index(rows, 0), "title"), "\\xff");
        assert_string_equal(text(reply, "next"), "1.3");
}

static void says_what_failed(void **state)
{
        (void)state;
        host.result = -EIO;
        call("ListSessions", "{}");
        assert_true(*error);
        call("ListObservers", "{}");
        assert_true(*error);
        host.result = 0;
        call("ListSessions", "{}");
        assert_string_equal(error, "");
}

/* The answer to the first call fills the socket; those that follow are short. */
static void makes_no_answers_that_are_not_read(void **state)
{
        static const char ask[] =
                "{\"method\":\"" INTERFACE "ListResources\",\"parameters\":{\"bodies\":true}}";
        static char answers[4 << 20];
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        size_t n = 0;
        ssize_t got = 1;

        (void)state;
        host.rows = 10;
        host.body = 1 << 20;
        memcpy(a.sun_path, path, sizeof path);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(send(fd, ask, sizeof ask, 0), sizeof ask);
        assert_int_equal(send(fd, ask, sizeof ask, 0), sizeof ask);
        shutdown(fd, SHUT_WR);
        while (got != 0 && !memmem(answers, n, "AnswersNotRead", 14)) {
                while (sd_event_run(event, 0) > 0)
                        ;
                got = recv(fd, answers + n, sizeof answers - n, MSG_DONTWAIT);
                assert_true(got >= 0 || errno == EAGAIN);
                n += got > 0 ? (size_t)got : 0;
                assert_true(n < sizeof answers);
        }
        assert_non_null(memmem(answers, n, "AnswersNotRead", 14));
        close(fd);
}

/* --- what it does --- */

static void notifies(void **state)
{
        (void)state;
        assert_true(sd_json_variant_boolean(
                sd_json_variant_by_key(call("Notify", "{\"path\":\"a/b\"}"), "observed")));
        assert_string_equal(host.path, "a/b");
        host.result = -ENOENT;
        assert_string_equal(text(call("Notify", "{\"path\":\"c\"}"), "path"), "c");
        assert_string_equal(error, INTERFACE "NoSuchResource");
        call("Notify", "{}");
        assert_string_equal(error, SD_VARLINK_ERROR_INVALID_PARAMETER);
}

static void reloads(void **state)
{
        sd_json_variant *lines;

        (void)state;
        lines = sd_json_variant_by_key(call("Reload", "{}"), "changes");
        assert_string_equal(error, "");
        assert_int_equal(sd_json_variant_elements(lines), 2);
        assert_string_equal(sd_json_variant_string(sd_json_variant_by_index(lines, 1)), "two \\xff");
        host.result = -EINVAL;
        lines = sd_json_variant_by_key(call("Reload", "{}"), "errors");
        assert_string_equal(error, INTERFACE "NotReloaded");
        assert_string_equal(sd_json_variant_string(sd_json_variant_by_index(lines, 0)), "one");
}

static void imports(void **state)
{
        (void)state;
        call("Import",
             "{\"path\":\"a\",\"content_format\":42,\"attributes\":\"rt=x\",\"body_hex\":\"00ff\"}");
        assert_string_equal(error, "");
        assert_string_equal(host.path, "a");
        assert_string_equal(host.attributes, "rt=x");
        assert_int_equal(host.content_format, 42);
        assert_int_equal(host.n_imported, 2);
        assert_memory_equal(host.imported, "\x00\xff", 2);
        call("Import", "{\"path\":\"a\",\"content_format\":null,\"body_hex\":\"\"}");
        assert_string_equal(error, "");
        assert_int_equal(host.content_format, -1);
        assert_string_equal(host.attributes, "");
        assert_int_equal(host.n_imported, 0);
        call("Import", "{\"path\":\"a\",\"body_hex\":\"0\"}");
        assert_string_equal(error, SD_VARLINK_ERROR_INVALID_PARAMETER);
        host.result = -ENOSPC;
        assert_string_equal(text(call("Import", "{\"path\":\"a\",\"body_hex\":\"00\"}"), "reason"),
                            "it is full");
        assert_string_equal(error, INTERFACE "NotImported");
}

/* --- the socket --- */

static void is_for_the_group(void **state)
{
        struct stat status;

        (void)state;
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 0777, 0660);
}

static void takes_no_place_that_is_not_its_own(void **state)
{
        struct control_host h = hooks();
        struct control *other = NULL;
        char longer[200], file[80];
        int fd;

        (void)state;
        assert_int_equal(control_open(path, &h, &other), -EADDRINUSE);
        snprintf(file, sizeof file, "%s/file", folder);
        fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        assert_int_equal(control_open(file, &h, &other), -EEXIST);
        assert_int_equal(unlink(file), 0);
        memset(longer, 'x', sizeof longer - 1);
        longer[0] = '/';
        longer[sizeof longer - 1] = '\0';
        assert_int_equal(control_open(longer, &h, &other), -ENAMETOOLONG);
        assert_null(other);
        /* One that nobody listens on, as a kill leaves it. */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        memcpy(a.sun_path, file, sizeof file);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        close(fd);
        assert_int_equal(control_open(file, &h, &other), 0);
        control_free(other);
        assert_int_equal(access(file, F_OK), -1);
        control_free(NULL);
}

static int forget_reply(void **state)
{
        (void)state;
        reply = sd_json_variant_unref(reply);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(shows_the_state, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lists_by_the_page, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lists_the_endpoints, set_up, tear_down),
                cmocka_unit_test_setup_teardown(dumps_bodies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(says_what_failed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(makes_no_answers_that_are_not_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(notifies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(reloads, set_up, tear_down),
                cmocka_unit_test_setup_teardown(imports, set_up, tear_down),
                cmocka_unit_test_setup_teardown(is_for_the_group, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_no_place_that_is_not_its_own, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, forget_reply);
}
