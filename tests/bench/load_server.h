/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server's process spent: processor time, memory, how often it went to sleep (each such time it was woken
 * for something), from /proc; and what the kernel dropped at its UDP sockets, by sock_diag(7).
 */
#ifndef COAPD_BENCH_LOAD_SERVER_H
#define COAPD_BENCH_LOAD_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct server_sample {
        uint64_t cpu_ns;   /* of all threads */
        uint64_t wake_ups; /* voluntary context switches of all threads */
        uint64_t memory;   /* bytes, private: what leaves the machine with the process */
        uint64_t drops;    /* at UDP sockets bound to the port */
        uint64_t written;  /* bytes, to files: proc_pid_io(5), wchar; 0 where that is not to be read */
};

/* 0 or -errno; a pid of 0 gives zeros. */
int server_sample(pid_t pid, uint16_t port, struct server_sample *ret);

#endif
