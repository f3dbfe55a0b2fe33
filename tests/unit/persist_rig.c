/* SPDX-License-Identifier: BSD-2-Clause */
/* See persist_rig.h. */
#include "persist_rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"

/*
 * Not of the kernel's range for clients, and marked by an abstract socket so that no other test of this machine
 * takes it; the mark lives as long as its descriptor.
 */
static uint16_t free_port(int *ret_mark)
{
        for (;;) {
                uint16_t port = (uint16_t)(10000 + arc4random_uniform(22000));
                struct sockaddr_un mark = { .sun_family = AF_UNIX };
                struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
                int n = snprintf(mark.sun_path + 1, sizeof mark.sun_path - 1, "coapd-test-port-%u", port);
                int fd = socket(AF_INET6, SOCK_DGRAM, 0);
                bool taken = bind(fd, (struct sockaddr *)&a, sizeof a) < 0;

                close(fd);
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                if (!taken &&
                    bind(fd, (struct sockaddr *)&mark,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0) {
                        *ret_mark = fd;
                        return port;
                }
                close(fd);
        }
}

void rig_init(struct rig *rig)
{
        static const char *const names[] = { "dynamic-resources", "observers", "observe-counters" };

        memset(rig, 0, sizeof *rig);
        /* In memory where it can be: thousands of syncs are of no use here, and a busy disk makes minutes of them. */
        snprintf(rig->folder, sizeof rig->folder, "%s/coapd-test-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(rig->folder));
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                snprintf(rig->files[i], sizeof rig->files[i], "%s/%s", rig->folder, names[i]);
        rig->port = free_port(&rig->mark);
        rig->conf = (struct conf_persist){
                .dynamic_resources = rig->files[0],
                .observers = rig->files[1],
                .observe_counters = rig->files[2],
                .save_frequency = 10,
                .sync_interval = 1000,
                .observer_max_age = 604800,
        };
        coap_set_log_level(COAP_LOG_WARN);
        log_set_level(LOG_INFO);
}

int rig_set_up_in(void **state, size_t size)
{
        *state = calloc(1, size);
        assert_non_null(*state);
        rig_init(*state);
        return 0;
}

int rig_set_up(void **state)
{
        return rig_set_up_in(state, sizeof(struct rig));
}

int rig_tear_down(void **state)
{
        rig_deinit(*state);
        free(*state);
        return 0;
}

static void forget_stored(struct rig *rig)
{
        for (size_t i = 0; i < rig->n_stored; i++)
                free(rig->stored[i].body);
        rig->n_stored = 0;
}

static void remove_folder(const char *name)
{
        DIR *dir = opendir(name);
        struct dirent *entry;
        char path[512];

        while (dir && (entry = readdir(dir))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
                if (unlink(path) < 0)
                        remove_folder(path);
        }
        if (dir)
                closedir(dir);
        rmdir(name);
}

void rig_deinit(struct rig *rig)
{
        if (rig->context)
                rig_stop(rig);
        forget_stored(rig);
        remove_folder(rig->folder);
        close(rig->mark);
}

/* --- the host --- */

static int restore_resource(void *user, const struct stored_resource *stored)
{
        struct rig *rig = user;
        struct rig_stored *to = &rig->stored[rig->n_stored];

        if (rig->restore_answer < 0)
                return rig->restore_answer;
        assert_in_range(rig->n_stored, 0, RIG_STORED - 1);
        *to = (struct rig_stored){
                .content_format = stored->content_format,
                .etag_n = stored->etag.n,
                .body = malloc(stored->body.n + 1),
                .body_n = stored->body.n,
                .created_us = stored->created_us,
                .changed_us = stored->changed_us,
        };
        assert_in_range(stored->path.n, 1, sizeof to->path - 1);
        assert_in_range(stored->attributes.n, 0, sizeof to->attributes - 1);
        assert_in_range(stored->etag.n, 1, sizeof to->etag);
        memcpy(to->path, stored->path.p, stored->path.n);
        memcpy(to->attributes, stored->attributes.p, stored->attributes.n);
        memcpy(to->etag, stored->etag.p, stored->etag.n);
        memcpy(to->body, stored->body.p, stored->body.n);
        rig->n_stored++;
        return 0;
}

static bool restore_oscore(void *user, const coap_address_t *remote, struct span request,
                           struct span recipient_id, struct span id_context)
{
        const struct rig *rig = user;

        (void)remote;
        (void)request;
        (void)recipient_id;
        (void)id_context;
        return rig->knows_oscore;
}

static void observer_restored(void *user, coap_resource_t *resource, coap_subscription_t *subscription)
{
        struct rig *rig = user;

        (void)resource;
        (void)subscription;
        rig->observers_restored++;
}

void rig_answer(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                const coap_string_t *query, coap_pdu_t *response)
{
        struct rig *rig = coap_resource_get_userdata(resource);

        (void)session;
        (void)request;
        (void)query;
        rig->handled++;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
}

/* What a server of dynamic resources does, for the engine that replays their creation. */
static void on_unknown(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                       const coap_string_t *query, coap_pdu_t *response)
{
        struct rig *rig = coap_resource_get_userdata(resource);
        coap_string_t *path = coap_get_uri_path(request);
        char name[256];

        (void)session;
        (void)query;
        snprintf(name, sizeof name, "%.*s", (int)path->length, (const char *)path->s);
        coap_delete_string(path);
        rig_add_resource(rig, name);
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CREATED);
}

coap_resource_t *rig_add_resource(struct rig *rig, const char *path)
{
        coap_str_const_t *name = coap_make_str_const(path);
        coap_resource_t *resource = coap_resource_init(name, 0);

        coap_register_request_handler(resource, COAP_REQUEST_GET, rig_answer);
        coap_register_request_handler(resource, COAP_REQUEST_FETCH, rig_answer);
        coap_resource_set_get_observable(resource, 1);
        coap_resource_set_userdata(resource, rig);
        coap_add_resource(rig->context, resource);
        return resource;
}

coap_resource_t *rig_resource(struct rig *rig, const char *path)
{
        return coap_get_resource_from_uri_path(rig->context, coap_make_str_const(path));
}

static coap_address_t address_of(const char *host, uint16_t port)
{
        coap_address_t address;

        coap_address_init(&address);
        if (strchr(host, ':')) {
                address.size = sizeof address.addr.sin6;
                address.addr.sin6.sin6_family = AF_INET6;
                address.addr.sin6.sin6_port = htons(port);
                assert_int_equal(inet_pton(AF_INET6, host, &address.addr.sin6.sin6_addr), 1);
        } else {
                address.size = sizeof address.addr.sin;
                address.addr.sin.sin_family = AF_INET;
                address.addr.sin.sin_port = htons(port);
                assert_int_equal(inet_pton(AF_INET, host, &address.addr.sin.sin_addr), 1);
        }
        return address;
}

void rig_context(struct rig *rig, const char *listen)
{
        coap_address_t address = address_of(listen, rig->port);
        coap_resource_t *unknown;

        assert_null(rig->context);
        rig->context = coap_new_context(NULL);
        assert_non_null(rig->context);
        assert_non_null(coap_new_endpoint(rig->context, &address, COAP_PROTO_UDP));
        rig_add_resource(rig, "a");
        rig_add_resource(rig, "b");
        unknown = coap_resource_unknown_init(NULL);
        coap_register_request_handler(unknown, COAP_REQUEST_PUT, on_unknown);
        coap_resource_set_userdata(unknown, rig);
        coap_add_resource(rig->context, unknown);
        assert_return_code(sd_event_new(&rig->event), 0);
        forget_stored(rig);
        rig->observers_restored = rig->handled = 0;
        rig->host = (struct persist_host){
                .shards = shards_of_one(&rig->context),
                .event = rig->event,
                .metrics = &rig->metrics,
                .user = rig,
                .restore_resource = restore_resource,
                .restore_oscore = restore_oscore,
                .observer_restored = observer_restored,
        };
}

int rig_engine(struct rig *rig, const char *name)
{
        int out = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO), r;
        ssize_t n;

        fflush(stderr);
        dup2(out, STDERR_FILENO);
        rig->engine = persist_engine_find(name);
        r = rig->engine->open(&rig->conf, &rig->host, &rig->self);
        if (r == 0)
                r = rig->engine->start(rig->self);
        fflush(stderr);
        dup2(saved, STDERR_FILENO);
        close(saved);
        n = pread(out, rig->log, sizeof rig->log - 1, 0);
        rig->log[MAX(n, 0)] = '\0';
        close(out);
        return r;
}

void rig_start(struct rig *rig, const char *name, const char *listen)
{
        rig_context(rig, listen);
        if (rig_engine(rig, name) < 0)
                fail_msg("the engine does not start: %s", rig->log);
}

void rig_stop(struct rig *rig)
{
        if (rig->self)
                (rig->engine->stop)(rig->self); /* cmocka 2 has a macro of this name */
        coap_free_context(rig->context);
        if (rig->self)
                rig->engine->close(rig->self);
        sd_event_unref(rig->event);
        rig->context = NULL;
        rig->self = NULL;
        rig->event = NULL;
}

void rig_killed(struct rig *rig, void (*scenario)(struct rig *rig, void *user), void *user)
{
        int status;
        pid_t pid;

        fflush(stdout);
        fflush(stderr);
        pid = fork();
        if (pid == 0) {
                scenario(rig, user);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

bool rig_logged(const struct rig *rig, const char *text)
{
        return strstr(rig->log, text) != NULL;
}

const char *rig_file(const struct rig *rig, size_t i, const char *suffix)
{
        static char names[4][160];
        static size_t turn;
        char *name = names[turn++ % ARRAY_LEN(names)];

        snprintf(name, sizeof names[0], "%s%s", rig->files[i], suffix);
        return name;
}

size_t rig_count_files(const struct rig *rig, const char *part)
{
        DIR *dir = opendir(rig->folder);
        struct dirent *entry;
        size_t n = 0;

        while ((entry = readdir(dir)))
                n += strstr(entry->d_name, part) != NULL;
        closedir(dir);
        return n;
}

/* --- clients --- */

int rig_client(const struct rig *rig, const char *host)
{
        coap_address_t address = address_of(host, rig->port);
        int fd = socket(address.addr.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, &address.addr.sa, address.size), 0);
        return fd;
}

void rig_pump(struct rig *rig)
{
        for (int i = 0; i < 3; i++)
                coap_io_process(rig->context, COAP_IO_NO_WAIT);
}

static int observe_of(const uint8_t *data, size_t n)
{
        coap_pdu_t *pdu = coap_pdu_init(0, 0, 0, 0);
        coap_opt_iterator_t iterator;
        coap_opt_t *option = NULL;
        int number = -2;

        if (coap_pdu_parse(COAP_PROTO_UDP, data, n, pdu))
                option = coap_check_option(pdu, COAP_OPTION_OBSERVE, &iterator);
        if (option)
                number = (int)coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
        coap_delete_pdu(pdu);
        return number;
}

int rig_next(struct rig *rig, int client, const char *token)
{
        size_t token_n = strlen(token);

        for (int attempt = 0; attempt < 50; attempt++) {
                uint8_t data[2048];
                ssize_t n = recv(client, data, sizeof data, 0);

                if (n < 4) {
                        coap_io_process(rig->context, attempt < 2 ? COAP_IO_NO_WAIT : 2);
                        continue;
                }
                if ((data[0] >> 4 & 3) == COAP_MESSAGE_CON)
                        send(client, (uint8_t[]){ 0x60, 0, data[2], data[3] }, 4, 0);
                if ((size_t)(data[0] & 15) == token_n && memcmp(data + 4, token, token_n) == 0 && data[1])
                        return observe_of(data, (size_t)n);
        }
        return -1;
}

int rig_send(struct rig *rig, int client, uint8_t code, const char *token, const uint8_t *options, size_t n)
{
        static uint16_t mid = 1;
        uint8_t data[2048] = { (uint8_t)(0x40 | strlen(token)), code, (uint8_t)(mid >> 8), (uint8_t)mid };
        size_t used = 4;

        mid++;
        memcpy(data + used, token, strlen(token));
        used += strlen(token);
        memcpy(data + used, options, n);
        used += n;
        assert_int_equal(send(client, data, used, 0), used);
        return rig_next(rig, client, token);
}

static int observe_with(struct rig *rig, int client, const char *path, const char *token, uint8_t value)
{
        uint8_t options[64];
        size_t n = 0;

        options[n++] = (uint8_t)(0x60 | (value ? 1 : 0));
        if (value)
                options[n++] = value;
        options[n++] = (uint8_t)(0x50 | strlen(path));
        memcpy(options + n, path, strlen(path));
        n += strlen(path);
        return rig_send(rig, client, COAP_REQUEST_CODE_GET, token, options, n);
}

int rig_observe(struct rig *rig, int client, const char *path, const char *token)
{
        return observe_with(rig, client, path, token, COAP_OBSERVE_ESTABLISH);
}

int rig_cancel(struct rig *rig, int client, const char *path, const char *token)
{
        return observe_with(rig, client, path, token, COAP_OBSERVE_CANCEL);
}

void rig_notify(struct rig *rig, const char *path)
{
        coap_resource_notify_observers(rig_resource(rig, path), NULL);
}

bool rig_newer(int old, int new)
{
        return (old < new && new - old < 1 << 23) || (old > new && old - new > 1 << 23);
}

int64_t rig_sql(const struct rig *rig, size_t file, const char *sql)
{
        sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;
        int64_t number;

        assert_int_equal(sqlite3_open_v2(rig->files[file], &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        number = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
        sqlite3_finalize(statement);
        sqlite3_close(db);
        return number;
}
