/* SPDX-License-Identifier: BSD-2-Clause */
/* How many shards there are, and the handles of one path in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <netinet/in.h>

#include <cmocka.h>

#include "base/shards.h"
#include "base/util.h"
#include "resources/twins.h"

static void as_many_as_the_observers_need(void **state)
{
        static const struct {
                struct shards_need need;
                size_t shards;
        } cases[] = {
                { { 0, 0, 100000, 131072 }, 256 },
                { { 0, 256 * 128, 100000, 131072 }, 256 },
                { { 0, 257 * 128, 100000, 131072 }, 257 },
                { { 0, 100000, 100000, 131072 }, 781 },
                { { 0, 10000000, 100000, UINT64_MAX }, 1024 },
                { { 0, UINT64_MAX, UINT64_MAX, UINT64_MAX }, 1024 },
                /* What a shell allows, and less. */
                { { 0, 100000, 100000, 1024 }, 128 },
                { { 0, 0, 100000, 7 }, 1 },
                /* What is configured holds, but for what would leave a shard no sessions. */
                { { 1, 100000, 100000, 1024 }, 1 },
                { { 1024, 0, 100000, 1024 }, 1024 },
                { { 0, 0, 40, 1024 }, 2 },
                { { 64, 0, 1, 1024 }, 1 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct shards_need before = cases[i].need;

                assert_int_equal(shards_choose(&cases[i].need), cases[i].shards);
                /* Streams have their contexts before anything is known of the observers. */
                before.observers = 0;
                assert_int_equal(shards_for_streams(shards_choose(&before)),
                                 shards_for_streams(cases[i].shards));
        }
}

/* None of theirs has what is sent in the clear, nor streams. */
static void what_oscore_protects_has_shards_of_its_own(void **state)
{
        (void)state;
        for (size_t n = 1; n <= SHARDS_MOST; n++) {
                for (size_t contexts = 0; contexts <= SHARDS_MOST; contexts += contexts < 20 ? 1 : 167) {
                        struct shards shards = { .n = n, .n_protected = shards_for_oscore(n, contexts) };
                        struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = (in_port_t)contexts };

                        assert_int_equal(shards.n_protected > 0, contexts > 0 && n > 1);
                        assert_true(shards.n_protected + shards_for_streams(n) <= n);
                        assert_true(shards.n_protected >= MIN(contexts, n / 2));
                        assert_true(shards_find(&shards, (const struct sockaddr *)&peer) <
                                    n - shards.n_protected);
                }
        }
}

/* Nobody looks behind it. */
static coap_resource_t *handle_of(size_t shard)
{
        return (coap_resource_t *)(uintptr_t)(16 * shard + 16);
}

static void handles_are_found_by_their_shard(void **state)
{
        enum { SHARDS = 1024, STEP = 389 }; /* in an order that is not theirs */
        struct twins twins = { NULL, 0 };

        (void)state;
        for (size_t i = 0; i < SHARDS; i++) {
                size_t shard = i * STEP % SHARDS;

                assert_null(twins_find(&twins, shard));
                assert_int_equal(twins_reserve(&twins), 0);
                twins_put(&twins, shard, handle_of(shard));
                assert_ptr_equal(twins_find(&twins, shard), handle_of(shard));
        }
        for (size_t shard = 0; shard < SHARDS; shard++)
                assert_ptr_equal(twins_find(&twins, shard), handle_of(shard));
        /* Every other one goes, and half of these come back. */
        for (size_t i = 0; i < SHARDS / 2; i++)
                twins_remove(&twins, i);
        assert_int_equal(twins.n, SHARDS / 2);
        for (size_t shard = 0; shard < SHARDS; shard += 4) {
                assert_int_equal(twins_reserve(&twins), 0);
                twins_put(&twins, shard, handle_of(shard));
        }
        for (size_t shard = 0; shard < SHARDS; shard++)
                assert_ptr_equal(twins_find(&twins, shard), shard % 4 == 2 ? NULL : handle_of(shard));
        while (twins.n > 0)
                twins_remove(&twins, 0);
        assert_null(twins_find(&twins, 0));
        assert_int_equal(twins_reserve(&twins), 0);
        twins_put(&twins, 7, handle_of(7));
        assert_ptr_equal(twins_find(&twins, 7), handle_of(7));
        twins_deinit(&twins);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_many_as_the_observers_need),
                cmocka_unit_test(what_oscore_protects_has_shards_of_its_own),
                cmocka_unit_test(handles_are_found_by_their_shard),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
