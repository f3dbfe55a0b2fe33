/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fuzz targets of the whole daemon stand on: a coapd in this process, opened from a config as main() does,
 * with resources of every kind that is cheap, access rules and the sqlite engine on files in memory; its sockets
 * on loopback are real, its loop is turned by the target.
 *
 * Starting one costs as much as a thousand datagrams, so it serves many inputs. Each leaves traces in it; where an
 * input alone does not bring a crash back, those before it do: see rig_next().
 */
#ifndef TESTS_FUZZ_RIG_H
#define TESTS_FUZZ_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wiring.h"
#include "wire.h"

enum {
        RIG_PEERS = 3, /* the last one, and the rig's own, have an address that the access rules know */
        RIG_INPUTS = 400,
        RIG_DATAGRAM = 1500,
        RIG_MAX_RESOURCES = 30,
        RIG_MAX_SIZE = 3000,
        RIG_MAX_TOTAL = 20000,
};

struct rig {
        struct server *server;
        char folder[96];
        char file[112];
        uint16_t port, ws_port;
        int marks[2];             /* keep the ports ours */
        int peers[RIG_PEERS + 1]; /* connected UDP sockets; the one behind is the rig's own */
        unsigned inputs;          /* since it started */
        unsigned runs;
        uint16_t mid;
        /* Bytes allocated in the target, and not by libFuzzer: up to the present input, */
        int64_t held;
        int64_t before;  /* ... by whomever when it began, */
        int64_t at_rest; /* ... and while no daemon was there. */
};

/* Not assert(): it holds in every build, and libFuzzer keeps the input. */
#define RIG_CHECK(condition, ...)                                                                            \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);              \
                        fprintf(stderr, __VA_ARGS__);                                                        \
                        fputc('\n', stderr);                                                                 \
                        abort();                                                                             \
                }                                                                                            \
        } while (0)

/*
 * The daemon that takes the next input. After RIG_INPUTS of them it is stopped and started again on what it kept,
 * which must agree with what it served, and then once more from nothing. With COAPD_FUZZ_HISTORY=FILE every input
 * since it started from nothing is in the file, each behind its length in four bytes.
 */
struct rig *rig_next(struct span input);

/* After an input: everything keeps to its limits. */
void rig_after(struct rig *rig);

/* Lets the daemon do all that there is to do. It must come to rest. */
void rig_turn(struct rig *rig);

void rig_send(struct rig *rig, unsigned peer, struct span datagram);
/* A datagram that waits, into RIG_DATAGRAM bytes; empty: there is none. */
struct span rig_receive(struct rig *rig, unsigned peer, uint8_t *buffer);
/* A stream to the TCP or the WebSocket endpoint. */
int rig_connect(struct rig *rig, bool websocket);

/* GET of a whole representation. Returns the code; `ret_format` -1: none is told. */
uint8_t rig_get(struct rig *rig, struct span path, struct buf *body, int *ret_format);

/* Every stored resource is served as it is stored, and nothing else is. */
void rig_check_store(struct rig *rig);

/* --- for targets that have their own way with the daemon --- */

/* A folder, ports and a config, but no daemon yet. It is the process's one, and cleaned up at its end. */
struct rig *rig_idle(void);
/* 0 or -errno, as server_open(). */
int rig_open(struct rig *rig);
void rig_close(struct rig *rig);
/* Everything but the config. */
void rig_wipe(struct rig *rig);

#endif
