/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies put together from blocks: order, loss, retransmission, and the bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resources/blockwise.h"

enum { MAX_BODY = 4096 };

static uint8_t content[8192];

static int make(void **state)
{
        struct blockwise *b;

        for (size_t i = 0; i < sizeof content; i++)
                content[i] = (uint8_t)(i * 7 + i / 256);
        if (blockwise_new(4, 8192, &b) < 0)
                return -1;
        *state = b;
        return 0;
}

static int unmake(void **state)
{
        blockwise_free(*state);
        return 0;
}

/* Sessions are only told apart, never looked into. */
static coap_session_t *session(uintptr_t n)
{
        return (coap_session_t *)(n * 64);
}

static struct message block(uintptr_t peer, uint32_t num, bool more, unsigned szx, size_t n)
{
        struct message m = {
                .session = session(peer),
                .request = { .method = METHOD_PUT, .path = SPAN_LITERAL("a"), .content_format = 0 },
                .has_block1 = true,
                .block1 = { .num = num, .m = more, .szx = szx & 7, .aszx = szx & 7 },
        };

        m.request.body = span_of(content + ((size_t)num << (szx + 4)) % sizeof content, n);
        return m;
}

static uint8_t take(struct blockwise *b, struct message *m)
{
        struct response response = { 0 };

        return blockwise_take(b, m, MAX_BODY, &response);
}

static void joins_blocks(void **state)
{
        struct message m;

        for (uint32_t i = 0; i < 3; i++) {
                m = block(1, i, true, 2, 64);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, 3, false, 2, 10);
        assert_int_equal(take(*state, &m), 0);
        assert_true(span_equal(m.request.body, span_of(content, 202)));
        /* It is forgotten: the last block alone is no body. */
        m = block(1, 3, false, 2, 10);
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
}

static void one_block_is_a_body(void **state)
{
        struct message m = block(1, 0, false, 6, 1024);

        assert_int_equal(take(*state, &m), 0);
        assert_int_equal(m.request.body.n, 1024);
}

static void a_retransmitted_block_counts_once(void **state)
{
        struct message m;

        for (int i = 0; i < 2; i++) {
                m = block(1, 0, true, 2, 64);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        for (int i = 0; i < 2; i++) {
                m = block(1, 1, true, 2, 64);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, 2, false, 2, 1);
        assert_int_equal(take(*state, &m), 0);
        assert_true(span_equal(m.request.body, span_of(content, 129)));
}

static void a_new_first_block_starts_again(void **state)
{
        struct message m = block(1, 0, true, 2, 64);

        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 0, true, 2, 64);
        m.request.body.p += 1000;
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 1, false, 2, 3);
        assert_int_equal(take(*state, &m), 0);
        assert_memory_equal(m.request.body.p, content + 1000, 64);
}

static void a_gap_is_incomplete(void **state)
{
        struct message m = block(1, 0, true, 2, 64);

        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 2, true, 2, 64);
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
}

static void another_format_is_another_body(void **state)
{
        struct message m = block(1, 0, true, 2, 64);

        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 1, false, 2, 64);
        m.request.content_format = 60;
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
        /*
         * The first block again, in another format, begins another body; the same bytes do not make it the same block.
         */
        m = block(1, 0, true, 2, 64);
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 0, true, 2, 64);
        m.request.content_format = 50;
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 1, false, 2, 3);
        m.request.content_format = 50;
        assert_int_equal(take(*state, &m), 0);
        assert_true(span_equal(m.request.body, span_of(content, 67)));
}

static void transfers_are_told_apart(void **state)
{
        struct message first = block(1, 0, true, 2, 64), second = first, third = first, m;

        second.session = session(2);
        third.request_tag = SPAN_LITERAL("t");
        assert_int_equal(take(*state, &first), CODE_CONTINUE);
        assert_int_equal(take(*state, &second), CODE_CONTINUE);
        assert_int_equal(take(*state, &third), CODE_CONTINUE);
        blockwise_forget(*state, session(2));
        m = block(1, 1, false, 2, 1);
        assert_int_equal(take(*state, &m), 0);
        m = block(2, 1, false, 2, 1);
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
        m = block(1, 1, false, 2, 2);
        m.request_tag = SPAN_LITERAL("t");
        assert_int_equal(take(*state, &m), 0);
        assert_int_equal(m.request.body.n, 66);
}

static void a_block_must_fill_its_size(void **state)
{
        struct message m = block(1, 0, true, 2, 63);

        assert_int_equal(take(*state, &m), CODE_BAD_REQUEST);
        m = block(1, 0, false, 2, 65);
        assert_int_equal(take(*state, &m), CODE_BAD_REQUEST);
        m = block(1, 0, true, 6, 2048);
        m.block1.bert = 1;
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 2, true, 6, 1000);
        m.block1.bert = 1;
        assert_int_equal(take(*state, &m), CODE_BAD_REQUEST);
}

static void too_large_is_told_before_memory_is_taken(void **state)
{
        struct response response = { 0 };
        struct message m = block(1, 0, true, 6, 1024);

        m.size1 = 512U << 20;
        assert_int_equal(blockwise_take(*state, &m, MAX_BODY, &response), CODE_TOO_LARGE);
        assert_int_equal(response.size1, MAX_BODY);
        for (uint32_t i = 0; i < MAX_BODY / 1024; i++) {
                m = block(1, i, true, 6, 1024);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, MAX_BODY / 1024, false, 6, 1);
        assert_int_equal(take(*state, &m), CODE_TOO_LARGE);
        m = block(1, 0xfffff, true, 6, 1024);
        m.request.body.p = content;
        assert_int_equal(take(*state, &m), CODE_TOO_LARGE);
}

static void the_oldest_transfer_gives_way(void **state)
{
        struct message m;

        for (uintptr_t peer = 1; peer <= 5; peer++) {
                m = block(peer, 0, true, 2, 64);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, 1, false, 2, 1);
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
        m = block(5, 1, false, 2, 1);
        assert_int_equal(take(*state, &m), 0);
}

/* Sessions are cheap: an address that begins many transfers pushes out its own. */
static void a_transfer_that_goes_on_is_not_the_oldest(void **state)
{
        struct message m;

        for (uintptr_t peer = 1; peer <= 4; peer++) {
                m = block(peer, 0, true, 2, 64);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, 1, true, 2, 64);
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(5, 0, true, 2, 64);
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        m = block(1, 2, false, 2, 64);
        assert_int_equal(take(*state, &m), 0);
        m = block(2, 1, false, 2, 64);
        assert_int_equal(take(*state, &m), CODE_INCOMPLETE);
}

/* Far more of them than there is room for at a time. */
static void a_body_that_is_complete_takes_no_room(void **state)
{
        struct message m;

        for (int i = 0; i < 100; i++) {
                m = block(1, 0, true, 6, 1024);
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
                m = block(1, 1, false, 6, 1000);
                assert_int_equal(take(*state, &m), 0);
                assert_int_equal(m.request.body.n, 2024);
        }
}

static void an_address_pushes_out_its_own_transfers(void **state)
{
        struct message m;

        m = block(1, 0, true, 6, 1024);
        m.address = 1;
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        for (uintptr_t peer = 2; peer < 100; peer++) {
                m = block(peer, 0, true, 6, 1024);
                m.address = 2;
                assert_int_equal(take(*state, &m), CODE_CONTINUE);
        }
        m = block(1, 1, false, 6, 1024);
        m.address = 1;
        assert_int_equal(take(*state, &m), 0);
        assert_int_equal(m.request.body.n, 2048);
}

/* One begins a transfer, and another so many that the first has to go if both are counted as one. */
static bool is_counted_apart(uint64_t one, uint64_t other)
{
        struct message m = block(1, 0, true, 6, 1024);
        struct blockwise *b;
        uint8_t code;

        assert_int_equal(blockwise_new(4, 1 << 20, &b), 0);
        m.address = one;
        assert_int_equal(take(b, &m), CODE_CONTINUE);
        for (uintptr_t peer = 2; peer < 10; peer++) {
                m = block(peer, 0, true, 6, 1024);
                m.address = other;
                assert_int_equal(take(b, &m), CODE_CONTINUE);
        }
        m = block(1, 1, false, 6, 1024);
        m.address = one;
        code = take(b, &m);
        blockwise_free(b);
        return code == 0;
}

/* There are more addresses than counts; but which of them share one nobody can tell. */
static void nobody_chooses_whom_he_is_counted_with(void **state)
{
        enum { OTHERS = 2000, RUNS = 4 };

        (void)state;
        for (uint64_t other = 2; other < OTHERS; other++) {
                int run = 0;

                while (run < RUNS && !is_counted_apart(1, other))
                        run++;
                if (run == RUNS)
                        fail_msg("%d", (int)other);
        }
}

/* And so does one that sends much. */
static void a_long_transfer_pushes_out_no_others(void **state)
{
        struct message m;

        m = block(1, 0, true, 6, 1024);
        m.address = 1;
        assert_int_equal(take(*state, &m), CODE_CONTINUE);
        for (uintptr_t peer = 2; peer < 5; peer++)
                for (uint32_t i = 0; i < 4; i++) {
                        m = block(peer, i, i < 3, 6, 1024);
                        m.request.body.n = 1024;
                        m.address = 2;
                        if (i < 3)
                                take(*state, &m);
                }
        m = block(1, 1, false, 6, 1024);
        m.address = 1;
        assert_int_equal(take(*state, &m), 0);
}

static void all_transfers_share_one_bound(void **state)
{
        struct message m;
        unsigned left = 0;

        for (uintptr_t peer = 1; peer <= 4; peer++)
                for (uint32_t i = 0; i < 4; i++) {
                        m = block(peer, i, true, 6, 1024);
                        assert_int_equal(take(*state, &m), CODE_CONTINUE);
                }
        for (uintptr_t peer = 1; peer <= 4; peer++) {
                m = block(peer, 3, true, 6, 1024);
                left += take(*state, &m) == CODE_CONTINUE;
        }
        assert_in_range(left, 1, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
        const struct CMUnitTest tests[] = {
                TEST(joins_blocks),
                TEST(one_block_is_a_body),
                TEST(a_retransmitted_block_counts_once),
                TEST(a_new_first_block_starts_again),
                TEST(a_gap_is_incomplete),
                TEST(another_format_is_another_body),
                TEST(transfers_are_told_apart),
                TEST(a_block_must_fill_its_size),
                TEST(too_large_is_told_before_memory_is_taken),
                TEST(the_oldest_transfer_gives_way),
                TEST(a_transfer_that_goes_on_is_not_the_oldest),
                TEST(a_body_that_is_complete_takes_no_room),
                TEST(an_address_pushes_out_its_own_transfers),
                TEST(nobody_chooses_whom_he_is_counted_with),
                TEST(a_long_transfer_pushes_out_no_others),
                TEST(all_transfers_share_one_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
