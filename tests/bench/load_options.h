/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of the load generator; `load --help` says what each means. */
#ifndef COAPD_BENCH_LOAD_OPTIONS_H
#define COAPD_BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum load_transport { LOAD_UDP, LOAD_TCP, LOAD_WS, LOAD_DTLS };

struct load_target {
        enum load_transport transport;
        struct sockaddr_in server;
        char host[64];
        char path[256];
        char query[256];
        bool has_query;
};

struct load_options {
        struct load_target target;
        uint8_t method;
        uint8_t type;
        uint32_t peers;
        bool by_address;
        uint32_t window;
        double rate;
        uint64_t count, numbers;
        double seconds, warmup, settle, timeout, round, registration_limit;
        uint32_t body;

        uint32_t observers;
        struct load_target observed; /* always plain UDP */
        bool observe_by_address, no_observe;
        uint32_t observe_window;

        pid_t pid;
        const char *psk;    /* IDENTITY:KEY */
        const char *oscore; /* SECRET:SALT:SENDER:RECIPIENT[:IDCONTEXT], hex */
};

/* 0; 1: help was asked for and printed; or -EINVAL after a line on stderr. */
int load_options(int argc, char **argv, struct load_options *ret);

#endif
