/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON merge patches (RFC 7396). An input is the target, a zero byte, and the patch. What comes out is JSON, and
 * the same patch does nothing to it any more.
 */
#include "resources/json_merge.h"
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        CLEANUP(buf_deinit) struct buf once = { 0 }, twice = { 0 };
        const uint8_t *end = n ? memchr(data, 0, n) : NULL;
        struct span input = span_of(data, n);
        struct span target = take_bytes(&input, end ? (size_t)(end - data) : n);
        int r;

        take_byte(&input);
        r = json_merge(target, input, &once);
        RIG_CHECK(r == 0 || r == JSON_MERGE_BAD_PATCH || r == JSON_MERGE_BAD_TARGET, "an answer of %d", r);
        if (r != 0)
                return 0;
        r = json_merge(buf_span(&once), input, &twice);
        RIG_CHECK(r == 0, "%d: what came out is no JSON: %.*s", r, (int)once.n, (char *)once.p);
        RIG_CHECK(span_equal(buf_span(&once), buf_span(&twice)), "%.*s became %.*s", (int)once.n,
                  (char *)once.p, (int)twice.n, (char *)twice.p);
        return 0;
}
