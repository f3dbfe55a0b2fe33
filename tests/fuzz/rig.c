/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole coapd for fuzz targets; see rig.h. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "server.h"

/* Set where AddressSanitizer is there to count. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

enum { ROUNDS_MOST = 2000, PORT_FIRST = 10000, PORTS = 22000 };

/*
 * Small limits, so that they are reached. %1$u and %2$u are ports, %3$s is a folder of the rig's.
 */
static const char config_text[] =
        "server: { log_level = \"error\"; max_sessions = 40; shards = 2; q_block = true; };\n"
        "endpoints = ( { uri = \"coap://127.0.0.1:%1$u\"; }, { uri = \"coap+tcp://127.0.0.1:%1$u\"; },\n"
        "              { uri = \"coap+ws://127.0.0.1:%2$u\"; } );\n"
        "resources = ( { path = \"time\"; kind = \"time\"; title = \"Clock\"; rt = \"clock\"; },\n"
        "  { path = \"motd\"; kind = \"static\"; content = \"hello\"; content_format = \"text/plain\"; if = "
        "( \"sensor\", \"core.b\" ); },\n"
        "  { path = \"empty\"; kind = \"static\"; content = \"\"; confirmable = true; },\n"
        "  { path = \"large\"; kind = \"static\"; file = \"%3$s/large\"; },\n"
        "  { path = \"fw\"; kind = \"files\"; root = \"%3$s/fw\"; writable = true; max_size = 3000; },\n"
        "  { path = \"secret/motd\"; kind = \"static\"; content = \"hidden\"; } );\n"
        "dynamic: { enable = true; prefix = ( \"\" ); max_resources = %4$d; max_size = %5$d; max_total_size "
        "= %6$d; };\n"
        "limits: { observations = 100; observations_per_session = 30; transfers = 8; transfer_bytes = "
        "65536;\n"
        "          message_size = 8192; };\n"
        "persist: { dynamic_resources = \"%3$s/dynamic-resources\"; observers = \"%3$s/observers\";\n"
        "           observe_counters = \"%3$s/observe-counters\"; save_frequency = 3; };\n"
        "security: { oscore = ( { sender_id = \"01\"; recipient_ids = ( \"02\", \"\" );\n"
        "  master_secret = \"0102030405060708090a0b0c0d0e0f10\"; master_salt = \"9e7ca92223786340\"; } ); "
        "};\n"
        "access = ( { path = \"/secret/**\"; methods = ( \"*\" ); allow = (); },\n"
        "  { path = \"/limited/*\"; methods = ( \"GET\", \"OBSERVE\" ); allow = ( \"anyone\" ); },\n"
        "  { path = \"/limited/**\"; methods = ( \"*\" ); allow = ( \"net:127.0.0.2/32\", \"oscore:02\" ); "
        "},\n"
        "  { path = \"/**\"; methods = ( \"*\" ); allow = ( \"anyone\" ); } );\n";

static void write_file(const char *name, const char *text, size_t n)
{
        FILE *file = fopen(name, "w");

        RIG_CHECK(file && fwrite(text, 1, n, file) == n && fclose(file) == 0, "%s", name);
}

/* As the other tests do: an abstract socket of the port's number is the mark that it is taken. */
static uint16_t free_port(int *ret_mark)
{
        for (;;) {
                struct sockaddr_un mark = { .sun_family = AF_UNIX };
                unsigned draw = 0;
                uint16_t port;
                int n;

                RIG_CHECK(getrandom(&draw, sizeof draw, 0) == sizeof draw, "no random number");
                port = (uint16_t)(PORT_FIRST + draw % PORTS);
                n = snprintf(mark.sun_path + 1, sizeof mark.sun_path - 1, "coapd-test-port-%u", port);
                *ret_mark = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                if (bind(*ret_mark, (struct sockaddr *)&mark,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
                        return port;
                close(*ret_mark);
        }
}

static void write_config(struct rig *rig)
{
        FILE *file = fopen(rig->file, "w");

        RIG_CHECK(file, "%s", rig->file);
        fprintf(file, config_text, (unsigned)rig->port, (unsigned)rig->ws_port, rig->folder,
                RIG_MAX_RESOURCES, RIG_MAX_SIZE, RIG_MAX_TOTAL);
        fclose(file);
}

static void write_files(const struct rig *rig)
{
        char name[160], large[5000];

        memset(large, 'x', sizeof large);
        snprintf(name, sizeof name, "%s/large", rig->folder);
        write_file(name, large, sizeof large);
        snprintf(name, sizeof name, "%s/fw", rig->folder);
        mkdir(name, 0755);
        snprintf(name, sizeof name, "%s/fw/image", rig->folder);
        write_file(name, large, 1500);
        snprintf(name, sizeof name, "%s/fw/sub", rig->folder);
        mkdir(name, 0755);
}

static void open_peers(struct rig *rig)
{
        for (unsigned i = 0; i <= RIG_PEERS; i++) {
                struct sockaddr_in from = { .sin_family = AF_INET };
                struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig->port) };

                from.sin_addr.s_addr = htonl(i >= RIG_PEERS - 1 ? INADDR_LOOPBACK + 1 : INADDR_LOOPBACK);
                to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                rig->peers[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                RIG_CHECK(bind(rig->peers[i], (struct sockaddr *)&from, sizeof from) == 0 &&
                                  connect(rig->peers[i], (struct sockaddr *)&to, sizeof to) == 0,
                          "no socket");
        }
}

static void close_peers(struct rig *rig)
{
        for (unsigned i = 0; i <= RIG_PEERS; i++)
                close(rig->peers[i]);
}

static void prepare(struct rig *rig)
{
        const char *parent = getenv("TMPDIR");

        *rig = (struct rig){ .mid = 1 };
        snprintf(rig->folder, sizeof rig->folder, "%s/coapd-fuzz-XXXXXX",
                 parent                          ? parent
                 : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                 : "/tmp");
        RIG_CHECK(mkdtemp(rig->folder), "%s", rig->folder);
        snprintf(rig->file, sizeof rig->file, "%s/coapd.conf", rig->folder);
        rig->port = free_port(&rig->marks[0]);
        rig->ws_port = free_port(&rig->marks[1]);
        write_config(rig);
        write_files(rig);
        coap_startup();
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
        (void)status;
        (void)kind;
        if (at->level > 0)
                remove(path);
        return 0;
}

/* Clients make folders in folders, as deep as a path is long. */
static void remove_inside(const char *folder)
{
        enum { DESCRIPTORS = 16 };

        nftw(folder, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

void rig_wipe(struct rig *rig)
{
        remove_inside(rig->folder);
        write_config(rig);
        write_files(rig);
}

static void remove_all(struct rig *rig)
{
        remove_inside(rig->folder);
        rmdir(rig->folder);
        close(rig->marks[0]);
        close(rig->marks[1]);
}

int rig_open(struct rig *rig)
{
        sigset_t all;
        int r = server_open(rig->file, &rig->server);

        /* It takes signals from its loop; here they are libFuzzer's. */
        sigfillset(&all);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        if (r < 0)
                return r;
        rig->runs++;
        open_peers(rig);
        rig_turn(rig);
        return 0;
}

void rig_close(struct rig *rig)
{
        close_peers(rig);
        server_close(TAKE(rig->server));
}

void rig_turn(struct rig *rig)
{
        unsigned rounds = 0;
        int r;

        do
                r = sd_event_run(rig->server->event, 0);
        while (r > 0 && ++rounds < ROUNDS_MOST);
        RIG_CHECK(r >= 0, "the loop says %s", strerror(-r));
        RIG_CHECK(rounds < ROUNDS_MOST, "the daemon does not come to rest");
}

void rig_send(struct rig *rig, unsigned peer, struct span datagram)
{
        if (send(rig->peers[peer], datagram.p, datagram.n, 0) < 0 && errno == ECONNREFUSED)
                RIG_CHECK(false, "the endpoint is gone");
}

struct span rig_receive(struct rig *rig, unsigned peer, uint8_t *buffer)
{
        ssize_t n = recv(rig->peers[peer], buffer, RIG_DATAGRAM, 0);

        return span_of(buffer, n > 0 ? (size_t)n : 0);
}

int rig_connect(struct rig *rig, bool websocket)
{
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_addr = { htonl(INADDR_LOOPBACK) },
                                  .sin_port = htons(websocket ? rig->ws_port : rig->port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        RIG_CHECK(fd >= 0 && (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS),
                  "no connection");
        return fd;
}

static int64_t allocated(void)
{
        return (int64_t)(__sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                                 : mallinfo2().uordblks);
}

static int64_t held(const struct rig *rig)
{
        return rig->held + allocated() - rig->before;
}

void rig_after(struct rig *rig)
{
        enum { MEMORY_MOST = 48 << 20 };
        struct registry_counts counts;

        rig_turn(rig);
        counts = registry_count(rig->server->registry);
        RIG_CHECK(counts.dynamic <= RIG_MAX_RESOURCES, "%zu resources", counts.dynamic);
        RIG_CHECK(counts.dynamic_bytes <= RIG_MAX_TOTAL, "%llu bytes",
                  (unsigned long long)counts.dynamic_bytes);
        rig->held = held(rig);
        RIG_CHECK(rig->held < rig->at_rest + MEMORY_MOST, "%lld bytes are held", (long long)rig->held);
}

/* --- one daemon for many inputs --- */

/* The process's one, as LLVMFuzzerTestOneInput() has no user data. */
static struct rig the_rig;

static void end(void)
{
        if (the_rig.server)
                rig_close(&the_rig);
        remove_all(&the_rig);
        coap_cleanup();
}

struct rig *rig_idle(void)
{
        if (!the_rig.file[0]) {
                prepare(&the_rig);
                atexit(end);
        }
        return &the_rig;
}

/* What is held with no daemon up must not grow from one to the next. */
static void check_leaks(struct rig *rig)
{
        enum { WARM_UP = 4, SLACK = 64 * 1024 };

        if (rig->runs <= WARM_UP)
                rig->at_rest = held(rig);
        RIG_CHECK(held(rig) < rig->at_rest + SLACK, "%lld bytes are held without a daemon, once it was %lld",
                  (long long)held(rig), (long long)rig->at_rest);
}

static void start_over(struct rig *rig)
{
        if (rig->server) {
                rig_check_store(rig);
                rig_close(rig);
                RIG_CHECK(rig_open(rig) == 0, "it does not start on what it kept");
                rig_check_store(rig);
                rig_close(rig);
        }
        check_leaks(rig);
        rig_wipe(rig);
        RIG_CHECK(rig_open(rig) == 0, "it does not start");
        rig->inputs = 0;
}

static void note(struct span input, bool first)
{
        static int fd = -1;
        const char *name = getenv("COAPD_FUZZ_HISTORY");
        uint32_t n = (uint32_t)input.n;

        if (!name)
                return;
        if (fd < 0)
                fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (first && ftruncate(fd, 0) < 0)
                return;
        if (write(fd, &n, sizeof n) < 0 || write(fd, input.p, input.n) < 0)
                fprintf(stderr, "the history is not whole\n");
}

struct rig *rig_next(struct span input)
{
        struct rig *rig = rig_idle();

        rig->before = allocated();
        if (rig->runs == 0 || rig->inputs >= RIG_INPUTS)
                start_over(rig);
        note(input, rig->inputs == 0);
        rig->inputs++;
        return rig;
}
