/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc: see load_server.h. */
#include "load_server.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

enum { LINE = 256 };

static void fclosep(FILE **file)
{
        if (*file)
                fclose(*file);
}

static void closedirp(DIR **dir)
{
        if (*dir)
                closedir(*dir);
}

/* The number behind `key` in a file of "key: number" lines. */
static int read_key(const char *path, const char *key, uint64_t *ret)
{
        CLEANUP(fclosep) FILE *file = fopen(path, "re");
        char line[LINE];
        size_t n = strlen(key);

        if (!file)
                return -errno;
        while (fgets(line, sizeof(line), file)) {
                if (strncmp(line, key, n) == 0 && line[n] == ':') {
                        *ret = strtoull(line + n + 1, NULL, 10);
                        return 0;
                }
        }
        return -ENODATA;
}

static int sample_thread(pid_t pid, const char *thread, struct server_sample *sample)
{
        char path[LINE];
        uint64_t switches = 0;
        unsigned long long ns = 0;

        snprintf(path, sizeof(path), "/proc/%d/task/%.32s/status", pid, thread);
        int r = read_key(path, "voluntary_ctxt_switches", &switches);

        snprintf(path, sizeof(path), "/proc/%d/task/%.32s/schedstat", pid, thread);
        CLEANUP(fclosep) FILE *file = fopen(path, "re");

        if (r < 0 || !file)
                return r < 0 ? r : -errno;
        if (fscanf(file, "%llu", &ns) != 1)
                return -ENODATA;
        sample->cpu_ns += ns;
        sample->wake_ups += switches;
        return 0;
}

static int sample_threads(pid_t pid, struct server_sample *sample)
{
        char path[LINE];

        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        CLEANUP(closedirp) DIR *dir = opendir(path);

        if (!dir)
                return -errno;
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
                if (entry->d_name[0] == '.')
                        continue;
                int r = sample_thread(pid, entry->d_name, sample);

                if (r < 0 && r != -ENOENT) /* a thread may end meanwhile */
                        return r;
        }
        return 0;
}

/* Of a socket that is described by `message`. */
static uint64_t drops_of(const struct nlmsghdr *message)
{
        const struct inet_diag_msg *socket = NLMSG_DATA(message);
        int n = (int)NLMSG_PAYLOAD(message, sizeof(*socket));

        for (struct rtattr *a = (struct rtattr *)(socket + 1); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
                uint32_t memory[SK_MEMINFO_VARS];

                if (a->rta_type != INET_DIAG_SKMEMINFO || RTA_PAYLOAD(a) < sizeof(memory))
                        continue;
                memcpy(memory, RTA_DATA(a), sizeof(memory));
                return memory[SK_MEMINFO_DROPS];
        }
        return 0;
}

static int ask_for_sockets(int fd, uint16_t port)
{
        struct {
                struct nlmsghdr head;
                struct inet_diag_req_v2 what;
        } request = {
                .head = { .nlmsg_len = sizeof(request),
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                .what = { .sdiag_family = AF_INET,
                          .sdiag_protocol = IPPROTO_UDP,
                          .idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1),
                          .idiag_states = UINT32_MAX,
                          .id.idiag_sport = htons(port) },
        };

        return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/*
 * Asked of the kernel for the one port: with 10,000 sockets of ours /proc/net/udp takes it a third of a second, in
 * which requests that are due do not leave.
 */
static int udp_socket_drops(uint16_t port, uint64_t *ret)
{
        CLEANUP(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        _Alignas(struct nlmsghdr) char answer[16384];
        uint64_t sum = 0;
        int r = fd < 0 ? -errno : ask_for_sockets(fd, port);

        while (r == 0) {
                ssize_t n = recv(fd, answer, sizeof(answer), 0);

                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
                        if (m->nlmsg_type == NLMSG_ERROR)
                                return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
                        if (m->nlmsg_type == NLMSG_DONE) {
                                *ret = sum;
                                return 0;
                        }
                        sum += drops_of(m);
                }
        }
        return r;
}

int server_sample(pid_t pid, uint16_t port, struct server_sample *ret)
{
        struct server_sample sample = { 0 };
        char path[LINE];

        if (pid == 0) {
                *ret = sample;
                return 0;
        }
        int r = sample_threads(pid, &sample);

        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        r = read_key(path, "RssAnon", &sample.memory);
        if (r < 0)
                return r;
        sample.memory *= 1024;
        snprintf(path, sizeof(path), "/proc/%d/io", pid);
        read_key(path, "wchar", &sample.written);
        r = udp_socket_drops(port, &sample.drops);
        if (r == 0)
                *ret = sample;
        return r;
}
