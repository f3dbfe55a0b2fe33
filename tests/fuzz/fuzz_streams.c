/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of TCP and WebSocket connections into the whole daemon (RFC 8323). The first byte chooses the endpoint and
 * how much of a proper beginning the peer makes; the rest is what it sends, in pieces: a byte for the length of
 * one and as many bytes.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

enum {
        WEBSOCKET = 1,
        INTRODUCED = 2, /* with the CSM, or the HTTP request, that the protocol begins with */
        SHORT = 4,      /* pieces of up to 255 bytes, else of up to 255 times as many */
        SHUT = 8,       /* says that it sends no more, before the end */
        DEAF = 16,      /* never reads */
        PIECES_MOST = 60,
        FACTOR = 23,
};

static const char handshake[] = "GET /.well-known/coap HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                "Sec-WebSocket-Protocol: coap\r\nSec-WebSocket-Version: 13\r\n\r\n";
/* A CSM without options; over WebSockets in a frame whose mask is all zeros, as those of the inputs may be. */
static const uint8_t csm[] = { 0x00, 0xe1 };
static const uint8_t csm_frame[] = { 0x82, 0x82, 0, 0, 0, 0, 0x00, 0xe1 };

static void push(struct rig *rig, int fd, const void *bytes, size_t n)
{
        /* What does not fit, or comes after the daemon has hung up, is not sent: no matter. */
        send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        rig_turn(rig);
}

static void introduce(struct rig *rig, int fd, bool websocket)
{
        if (websocket) {
                push(rig, fd, handshake, sizeof handshake - 1);
                push(rig, fd, csm_frame, sizeof csm_frame);
        } else {
                push(rig, fd, csm, sizeof csm);
        }
}

static void drain(int fd)
{
        uint8_t buffer[4096];

        while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct span input = span_of(data, n);
        struct rig *rig = rig_next(input);
        uint8_t flags = take_byte(&input);
        int fd = rig_connect(rig, flags & WEBSOCKET);

        rig_turn(rig);
        if (flags & INTRODUCED)
                introduce(rig, fd, flags & WEBSOCKET);
        for (unsigned i = 0; input.n && i < PIECES_MOST; i++) {
                size_t length = take_byte(&input);
                struct span piece = take_bytes(&input, flags & SHORT ? length : length * FACTOR);

                push(rig, fd, piece.p, piece.n);
                if (!(flags & DEAF))
                        drain(fd);
        }
        if (flags & SHUT) {
                shutdown(fd, SHUT_WR);
                rig_turn(rig);
        }
        close(fd);
        rig_after(rig);
        return 0;
}
