/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Well-formed requests into dynamic resources: methods, options, blocks and bodies in any combination. An input
 * is a list of requests, read field by field. Answers are looked at, and what the store has at the end is what is
 * served.
 */
#include "rig.h"

enum {
        IF_MATCH = 1,
        ETAG = 4,
        IF_NONE_MATCH = 5,
        OBSERVE = 6,
        CONTENT_FORMAT = 12,
        URI_QUERY = 15,
        ACCEPT = 17,
        Q_BLOCK1 = 19,
        BLOCK2 = 23,
        BLOCK1 = 27,
        Q_BLOCK2 = 31,
        SIZE1 = 60,
        NO_RESPONSE = 258,
        REQUEST_TAG = 292,
        REQUESTS_MOST = 30,
        METHODS = 7,
};

/* Which options a request has, as bits. */
enum {
        HAS_CONDITION = 1 << 0,
        HAS_OBSERVE = 1 << 1,
        HAS_FORMAT = 1 << 2,
        HAS_ACCEPT = 1 << 3,
        HAS_BLOCK1 = 1 << 4,
        HAS_BLOCK2 = 1 << 5,
        HAS_QUERY = 1 << 6,
        HAS_SIZE1 = 1 << 7,
        HAS_TAG = 1 << 8,
        HAS_NO_RESPONSE = 1 << 9,
        IS_NON = 1 << 10,
        IS_REPEATED = 1 << 11,
        BODY_IS_JSON = 1 << 12,
        /* 13 and 14 are request()'s. */
        HAS_Q_BLOCK = 1 << 15, /* for Block */
};

static const char *const paths[] = {
        "a", "a/b", "%2F/%00", "devices/", "limited/a", "secret/b", "time", ".well-known/core",
};
static const uint16_t formats[] = { 0, 40, 50, 51, 52, 60, 110, 65000 };
static const char *const bodies[] = {
        "{}",   "{\"a\":1,\"b\":{\"c\":[1,2]}}", "{\"a\":null}", "[]",
        "null", "{\"b\":{\"c\":null}}",          "{\"a\"",       "1e999",
};

static void add_options(struct buf *out, unsigned has, const char *path, struct span *input)
{
        unsigned last = 0;
        uint8_t knob = take_byte(input);

        if ((has & HAS_CONDITION) && !(knob & 1))
                wire_option(out, &last, IF_MATCH, take_bytes(input, knob % 9));
        if (has & HAS_CONDITION)
                wire_option(out, &last, knob & 2 ? ETAG : IF_NONE_MATCH, take_bytes(input, knob & 2 ? 8 : 0));
        if (has & HAS_OBSERVE)
                wire_uint(out, &last, OBSERVE, knob >> 2 & 1);
        wire_path(out, &last, span_of_string(path));
        if (has & HAS_FORMAT)
                wire_uint(out, &last, CONTENT_FORMAT, formats[knob >> 5]);
        if (has & HAS_QUERY)
                wire_option(out, &last, URI_QUERY, take_bytes(input, take_byte(input) % 64));
        if (has & HAS_ACCEPT)
                wire_uint(out, &last, ACCEPT, formats[knob >> 4 & 7]);
        if ((has & HAS_BLOCK1) && (has & HAS_Q_BLOCK))
                wire_uint(out, &last, Q_BLOCK1, take_byte(input));
        if ((has & HAS_BLOCK2) && !(has & HAS_Q_BLOCK))
                wire_uint(out, &last, BLOCK2, take_byte(input));
        if ((has & HAS_BLOCK1) && !(has & HAS_Q_BLOCK))
                wire_uint(out, &last, BLOCK1, take_byte(input));
        for (unsigned n = 1 + knob % 3; n > 0 && (has & HAS_BLOCK2) && (has & HAS_Q_BLOCK); n--)
                wire_uint(out, &last, Q_BLOCK2, take_byte(input));
        if (has & HAS_SIZE1)
                wire_uint(out, &last, SIZE1, take_two(input) << (knob >> 4));
        if (has & HAS_NO_RESPONSE)
                wire_uint(out, &last, NO_RESPONSE, knob >> 3);
        if (has & HAS_TAG)
                wire_option(out, &last, REQUEST_TAG, take_bytes(input, knob % 9));
}

static void add_body(struct buf *out, unsigned has, struct span *input)
{
        uint8_t knob = take_byte(input);

        if (has & BODY_IS_JSON) {
                wire_payload(out, span_of_string(bodies[knob % ARRAY_LEN(bodies)]));
        } else if (knob < 128) {
                wire_payload(out, take_bytes(input, knob));
        } else {
                uint8_t filler[1152];

                /* Of the sizes that blocks have. */
                memset(filler, knob, sizeof filler);
                wire_payload(out, span_of(filler, (size_t)16 << (knob & 6)));
        }
}

static void look_at_answers(struct rig *rig, unsigned peer)
{
        uint8_t buffer[RIG_DATAGRAM];
        struct span datagram;

        while ((datagram = rig_receive(rig, peer, buffer)).n) {
                struct wire_reply reply;

                RIG_CHECK(wire_read(datagram, &reply), "an answer that is no message");
                RIG_CHECK(reply.code != 0xa0, "an internal error: %.*s", (int)reply.payload.n,
                          (const char *)reply.payload.p);
                if (reply.type == WIRE_CON)
                        rig_send(rig, peer, span_of((uint8_t[]){ 0x60, 0, buffer[2], buffer[3] }, 4));
        }
}

static void request(struct rig *rig, struct span *input)
{
        CLEANUP(buf_deinit) struct buf out = { 0 };
        uint8_t what = take_byte(input);
        unsigned has = take_two(input);
        uint8_t token = what / METHODS % 4;
        unsigned peer = has >> 13 & 1 ? RIG_PEERS - 1 : 0;

        rig->mid += !(has & IS_REPEATED);
        wire_begin(&out, &(struct wire_head){
                                 .type = has & IS_NON ? WIRE_NON : WIRE_CON,
                                 .code = (uint8_t)(what % METHODS + 1),
                                 .mid = rig->mid,
                                 .token = span_of(&token, 1),
                         });
        add_options(&out, has, paths[what / (METHODS * 4) % ARRAY_LEN(paths)], input);
        add_body(&out, has, input);
        rig_send(rig, peer, buf_span(&out));
        if (!(has >> 14 & 1))
                rig_turn(rig);
        look_at_answers(rig, peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct span input = span_of(data, n);
        struct rig *rig = rig_next(input);

        for (unsigned i = 0; input.n && i < REQUESTS_MOST; i++)
                request(rig, &input);
        rig_turn(rig);
        rig_check_store(rig);
        look_at_answers(rig, 0);
        look_at_answers(rig, RIG_PEERS - 1);
        rig_after(rig);
        return 0;
}
