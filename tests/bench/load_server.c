/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc: see load_server.h. */
#include "load_server.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static uint64_t udp_socket_drops(uint16_t port)
{
        CLEANUP(fclosep) FILE *file = fopen("/proc/net/udp", "re");
        char line[LINE];
        uint64_t sum = 0;

        while (file && fgets(line, sizeof(line), file)) {
                unsigned local, remote;
                unsigned long long drops;

                if (sscanf(line,
                           " %*[0-9]: %*[0-9A-F]:%x %*[0-9A-F]:%x %*s %*s %*s %*s %*u %*u %*u %*u %*s %llu",
                           &local, &remote, &drops) == 3 &&
                    local == port && remote == 0)
                        sum += drops;
        }
        return sum;
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
        sample.drops = udp_socket_drops(port);
        *ret = sample;
        return 0;
}
