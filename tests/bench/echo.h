/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers that do nothing: what each transport costs whatever serves it. */
#ifndef COAPD_BENCH_ECHO_H
#define COAPD_BENCH_ECHO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { ECHO_BATCH = 64, ECHO_SIZE = 1500, CODE_CONTENT = 0x45 };

/* A non-blocking socket at a port of 127.0.0.1, datagram or listening; -1 with errno. */
int echo_bind(int type, uint16_t port);

/* Makes the answer of a request where it is: 2.05, in an ACK. Whether it was a request. */
bool echo_answer(uint8_t *p, size_t n);

/* Datagrams that are read together. */
struct echo_batch {
        struct mmsghdr headers[ECHO_BATCH];
        struct iovec pieces[ECHO_BATCH];
        struct sockaddr_in peers[ECHO_BATCH];
        uint8_t data[ECHO_BATCH][ECHO_SIZE];
};

/* What there is, without waiting: how many, as recvmmsg(2). */
int echo_receive(int fd, struct echo_batch *batch);

/* Each serves for ever; returns after a line on stderr. */
void echo_stream(int fd, size_t (*answer)(uint8_t *bytes, size_t n, size_t *ret_taken));
void echo_dtls(int fd, const char *key);

/*
 * For echo_stream(): move the answers to what is whole to the front, and return their length. What is not whole yet is
 * behind what was taken.
 */
size_t echo_answer_tcp(uint8_t *bytes, size_t n, size_t *ret_taken);
size_t echo_answer_ws(uint8_t *bytes, size_t n, size_t *ret_taken);

#endif
