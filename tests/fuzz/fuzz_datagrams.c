/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams into the whole daemon. An input is a list of them: a byte of flags, two of length, and as many bytes as
 * the length says or as are left.
 */
#include "rig.h"

enum {
        PEER = 3,        /* whose it is */
        TOGETHER = 4,    /* the next one is read with it */
        ACKNOWLEDGE = 8, /* the peer acknowledges what it got so far */
        REJECT = 16,     /* ... or sends Resets */
        ECHOED = 32,     /* ... or sends it all back */
        DATAGRAMS_MOST = 40,
};

static void react(struct rig *rig, unsigned peer, uint8_t flags)
{
        uint8_t buffer[RIG_DATAGRAM];
        struct span datagram;

        while ((datagram = rig_receive(rig, peer, buffer)).n) {
                bool confirmable = datagram.n >= 4 && (buffer[0] >> 4 & 3) == WIRE_CON;
                uint8_t type = flags & REJECT ? WIRE_RST : WIRE_ACK;

                if (flags & ECHOED)
                        rig_send(rig, peer, datagram);
                else if ((flags & REJECT) || ((flags & ACKNOWLEDGE) && confirmable))
                        rig_send(rig, peer,
                                 span_of((uint8_t[]){ (uint8_t)(0x40 | type << 4), 0, buffer[2], buffer[3] },
                                         4));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct span input = span_of(data, n);
        struct rig *rig = rig_next(input);

        for (unsigned i = 0; input.n && i < DATAGRAMS_MOST; i++) {
                uint8_t flags = take_byte(&input);
                unsigned peer = (flags & PEER) % RIG_PEERS;

                rig_send(rig, peer, take_bytes(&input, take_two(&input)));
                if (!(flags & TOGETHER))
                        rig_turn(rig);
                react(rig, peer, flags);
        }
        rig_after(rig);
        for (unsigned peer = 0; peer < RIG_PEERS; peer++)
                react(rig, peer, 0);
        return 0;
}
