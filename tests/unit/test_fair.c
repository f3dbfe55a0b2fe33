/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places that are divided fairly, compared with a model that looks at everything at every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "resources/fair.h"

enum { PLACES = 7, OWNERS = 10 };

struct model {
        bool taken;
        uint64_t owner;
        unsigned when;
};

static size_t count(const struct model *model, uint64_t owner)
{
        size_t n = 0;

        for (size_t i = 0; i < PLACES; i++)
                n += model[i].taken && model[i].owner == owner;
        return n;
}

static size_t most_of_all(const struct model *model)
{
        size_t most = 0;

        for (uint64_t owner = 0; owner < OWNERS; owner++)
                most = MAX(most, count(model, owner));
        return most;
}

static size_t oldest(const struct model *model)
{
        size_t found = FAIR_NONE;

        for (size_t i = 0; i < PLACES; i++)
                if (model[i].taken && (found == FAIR_NONE || model[i].when < model[found].when))
                        found = i;
        return found;
}

/* Whether `place` is the oldest that its owner has. */
static bool is_first(const struct model *model, size_t place)
{
        for (size_t i = 0; i < PLACES; i++)
                if (model[i].taken && model[i].owner == model[place].owner &&
                    model[i].when < model[place].when)
                        return false;
        return true;
}

static void whoever_has_the_most_makes_room(void **state)
{
        struct model model[PLACES] = { 0 };
        struct fair *fair;
        size_t n = 0;

        (void)state;
        srandom(4);
        assert_int_equal(fair_new(PLACES, &fair), 0);
        assert_true(fair_oldest(fair) == FAIR_NONE);
        for (unsigned step = 0; step < 100000; step++) {
                /* Some want more than others. */
                uint64_t owner = (uint64_t)(random() % OWNERS * (random() % OWNERS) / OWNERS);
                size_t place;

                if (random() % 8 == 0 && n > 0) {
                        place = random() % 2 ? fair_oldest(fair) : (size_t)random() % PLACES;
                        if (!model[place].taken)
                                continue;
                        fair_give_back(fair, place);
                        model[place].taken = false;
                        n--;
                } else {
                        place = fair_take(fair, owner);
                        assert_true(place < PLACES);
                        if (model[place].taken) {
                                assert_int_equal(n, PLACES);
                                assert_int_equal(count(model, model[place].owner), most_of_all(model));
                                assert_true(is_first(model, place));
                        } else {
                                n++;
                        }
                        model[place] = (struct model){ true, owner, step };
                }
                assert_true(fair_oldest(fair) == oldest(model));
        }
        fair_free(fair);
}

/* Each has one: then they go in the order in which they came, as in a ring. */
static void those_with_as_many_take_turns(void **state)
{
        size_t places[PLACES];
        struct fair *fair;

        (void)state;
        assert_int_equal(fair_new(PLACES, &fair), 0);
        for (uint64_t owner = 0; owner < 10 * PLACES; owner++) {
                size_t place = fair_take(fair, owner);

                if (owner >= PLACES)
                        assert_int_equal(place, places[owner % PLACES]);
                places[owner % PLACES] = place;
        }
        fair_free(fair);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whoever_has_the_most_makes_room),
                cmocka_unit_test(those_with_as_many_take_turns),
        };

        fair_free(NULL);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
