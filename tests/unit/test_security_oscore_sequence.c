/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the places of an OSCORE context count their sequence numbers: none where another one does, or has. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "security/oscore_internal.h"

enum { NAMES_MOST = 8, AHEAD = 64 };

struct store {
        struct {
                char name[OSCORE_NAME_SIZE];
                uint64_t number;
        } v[NAMES_MOST];
        size_t n;
        bool broken, absent;
};

/* A context in one life of the daemon. */
struct life {
        struct security_store store;
        struct oscore owner;
        struct oscore_context context;
};

static int load(void *user, const char *name, uint64_t *ret_number)
{
        struct store *store = user;

        if (store->absent)
                return -ENOTSUP;
        for (size_t i = 0; i < store->n; i++) {
                if (strcmp(store->v[i].name, name) != 0)
                        continue;
                *ret_number = store->v[i].number;
                return 0;
        }
        return -ENOENT;
}

static int save(void *user, const char *name, uint64_t number)
{
        struct store *store = user;
        size_t i = 0;

        if (store->broken)
                return -EIO;
        while (i < store->n && strcmp(store->v[i].name, name) != 0)
                i++;
        if (i == store->n)
                memcpy(store->v[store->n++].name, name, OSCORE_NAME_SIZE);
        assert_true(number >= store->v[i].number); /* what is reserved stays reserved */
        store->v[i].number = number;
        return 0;
}

static struct life *begin(struct store *store)
{
        struct life *life = calloc(1, sizeof *life);

        life->store = (struct security_store){ load, save, store, NULL };
        life->owner.store = &life->store;
        life->owner.shards.n = 128;
        life->context.owner = &life->owner;
        life->context.datagrams.context = &life->context;
        assert_int_equal(oscore_sequence_begin(&life->context.datagrams), 0);
        return life;
}

static void end(struct life *life)
{
        oscore_streams_free(&life->context);
        free(life);
}

/* As oscore_streams.c opens one for the sessions that begin from now on. */
static struct oscore_place *open_streams(struct life *life)
{
        struct oscore_place *place = calloc(1, sizeof *place);
        const struct oscore_place *before = life->context.streams;

        place->context = &life->context;
        place->range = before && before->range == OSCORE_STREAMS ? OSCORE_STREAMS_TOO : OSCORE_STREAMS;
        assert_int_equal(oscore_sequence_begin(place), 0);
        place->next = life->context.streams;
        life->context.streams = place;
        return place;
}

/* As libcoap does. The number; 0: it may not be used. */
static uint64_t use(struct life *life, struct oscore_place *place, uint64_t *counter)
{
        uint64_t number = *counter ? *counter : place->begin;

        *counter = number + 1;
        if (number >= place->wanted)
                oscore_sequence_save(number + AHEAD, place);
        return oscore_sequence_use(&life->context, number) ? number : 0;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

static void all_differ(uint64_t *numbers, size_t n)
{
        qsort(numbers, n, sizeof *numbers, compare);
        for (size_t i = 1; i < n; i++)
                assert_true(numbers[i - 1] == 0 || numbers[i - 1] != numbers[i]);
}

/* All that are there count on, over several lives. */
static void count_on(struct store *store, unsigned each, size_t *ret_used)
{
        enum { LIVES = 3, PLACES = 5, MOST = 100000 };
        uint64_t *numbers = calloc(MOST, sizeof *numbers);
        size_t n = 0, used = 0;

        for (int i = 0; i < LIVES; i++) {
                struct life *life = begin(store);
                struct oscore_place *places[PLACES + 1] = { &life->context.datagrams };
                uint64_t counters[PLACES + 1] = { 0 };

                for (int k = 1; k <= PLACES; k++) {
                        places[k] = open_streams(life);
                        for (int p = 0; p <= k; p++)
                                for (unsigned t = 0; t < each; t++)
                                        numbers[n++] = use(life, places[p], &counters[p]);
                }
                end(life);
        }
        for (size_t i = 0; i < n; i++)
                used += numbers[i] != 0;
        *ret_used = used;
        assert_in_range(n, 1, MOST);
        all_differ(numbers, n);
        free(numbers);
}

static void no_number_comes_twice_over_several_lives(void **state)
{
        struct store store = { .n = 0 };
        size_t used;

        (void)state;
        count_on(&store, 100, &used);
        assert_int_equal(used, 3 * 100 * (2 + 3 + 4 + 5 + 6)); /* and none is refused */
        assert_int_equal(store.n, 3);
}

/* The clock stands in. It is the same in all three lives here, and in the daemon it has gone on. */
static void without_a_store_the_older_place_has_what_has_passed(void **state)
{
        struct store store = { .absent = true };
        struct life *life = begin(&store);
        struct oscore_place *places[] = { open_streams(life), open_streams(life), NULL, NULL };
        uint64_t counters[4] = { 0 }, numbers[4 * 300];
        uint64_t now = ((uint64_t)time(NULL) - 1704067200) * 256;
        size_t n = 0;

        (void)state;
        for (int p = 0; p < 2; p++)
                for (int t = 0; t < 300; t++)
                        numbers[n++] = use(life, places[p], &counters[p]);
        places[2] = open_streams(life);
        places[3] = open_streams(life);
        assert_true(places[0]->end <= places[2]->begin && places[1]->end <= places[3]->begin);
        /* What the newer one has not reserved yet is no one's. */
        counters[0] = places[2]->begin;
        assert_int_equal(use(life, places[0], &counters[0]), 0);
        for (int p = 0; p < 4; p++)
                for (int t = 0; t < 100; t++)
                        numbers[n++] = use(life, places[p], &counters[p]);
        all_differ(numbers, n);
        /* A life that begins later finds the clock past all that is used. */
        assert_in_range(places[3]->begin - (3ULL << 38), now, now + 300 + 2560);
        end(life);
}

static void nothing_is_used_that_could_not_be_reserved(void **state)
{
        struct store store = { .n = 0 };
        struct life *life = begin(&store);
        struct oscore_place *older = open_streams(life), *newer;
        uint64_t counters[2] = { 0 };

        (void)state;
        open_streams(life);
        assert_true(use(life, older, &counters[0]) > 0);
        store.broken = true;
        newer = open_streams(life);
        assert_int_equal(newer->range, older->range);
        for (int i = 0; i < 2 * AHEAD; i++) {
                assert_int_equal(use(life, older, &counters[0]), 0);
                assert_int_equal(use(life, newer, &counters[1]), 0);
        }
        store.broken = false;
        assert_true(use(life, newer, &counters[1]) > 0);
        assert_true(store.v[store.n - 1].number > newer->next_own);
        end(life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_number_comes_twice_over_several_lives),
                cmocka_unit_test(without_a_store_the_older_place_has_what_has_passed),
                cmocka_unit_test(nothing_is_used_that_could_not_be_reserved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
