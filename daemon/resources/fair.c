/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places in a list by age, and in one of each owner's; owners in a hash table, and in a list for each number of places;
 * see fair.h.
 */
#include "resources/fair.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>

struct place {
        struct owner *owner; /* NULL: it is free */
        TAILQ_ENTRY(place) of_all;
        TAILQ_ENTRY(place) of_owner;
};

struct owner {
        uint64_t key;
        size_t n;
        struct owner *next; /* in its bucket, or of those that are not in use */
        TAILQ_HEAD(, place) places;
        TAILQ_ENTRY(owner) of_number;
};

TAILQ_HEAD(owners, owner);

struct fair {
        uint64_t seed; /* so that nobody can choose owners that share a bucket */
        size_t n;
        struct place *places;
        size_t n_touched; /* those behind have never been taken */
        TAILQ_HEAD(, place) all, free;
        struct owner *owners, *unused;
        size_t n_touched_owners;
        struct owner **buckets;
        struct owners *by_number; /* [0] stays empty */
        size_t most;
};

int fair_new(size_t n, struct fair **ret_fair)
{
        struct fair *fair = calloc(1, sizeof *fair);

        if (!fair)
                return -ENOMEM;
        fair->n = n;
        fair->places = calloc(n, sizeof *fair->places);
        fair->owners = calloc(n, sizeof *fair->owners);
        fair->buckets = calloc(n, sizeof(struct owner *));
        fair->by_number = calloc(n + 1, sizeof *fair->by_number);
        if (!fair->places || !fair->owners || !fair->buckets || !fair->by_number) {
                fair_free(fair);
                return -ENOMEM;
        }
        if (getrandom(&fair->seed, sizeof fair->seed, 0) != sizeof fair->seed) {
                fair_free(fair);
                return -EIO;
        }
        TAILQ_INIT(&fair->all);
        TAILQ_INIT(&fair->free);
        for (size_t i = 0; i <= n; i++)
                TAILQ_INIT(&fair->by_number[i]);
        *ret_fair = fair;
        return 0;
}

void fair_free(struct fair *fair)
{
        if (!fair)
                return;
        free(fair->places);
        free(fair->owners);
        free(fair->buckets);
        free(fair->by_number);
        free(fair);
}

/* --- owners --- */

static struct owner **bucket_of(const struct fair *fair, uint64_t key)
{
        uint64_t hash = (key ^ fair->seed) * 0x9e3779b97f4a7c15U;

        return &fair->buckets[(hash ^ hash >> 32) % fair->n];
}

/* There are no more of them than places, as each has one. */
static struct owner *find_or_add(struct fair *fair, uint64_t key)
{
        struct owner **bucket = bucket_of(fair, key), *owner = *bucket;

        while (owner && owner->key != key)
                owner = owner->next;
        if (owner)
                return owner;
        owner = fair->unused;
        if (owner)
                fair->unused = owner->next;
        else
                owner = &fair->owners[fair->n_touched_owners++];
        *owner = (struct owner){ .key = key, .next = *bucket };
        TAILQ_INIT(&owner->places);
        *bucket = owner;
        return owner;
}

static void drop(struct fair *fair, struct owner *owner)
{
        struct owner **link = bucket_of(fair, owner->key);

        while (*link != owner)
                link = &(*link)->next;
        *link = owner->next;
        owner->next = fair->unused;
        fair->unused = owner;
}

/* It has one place more, or one less. */
static void set_number(struct fair *fair, struct owner *owner, size_t n)
{
        if (owner->n > 0)
                TAILQ_REMOVE(&fair->by_number[owner->n], owner, of_number);
        owner->n = n;
        if (n > 0)
                TAILQ_INSERT_TAIL(&fair->by_number[n], owner, of_number);
        /* It has the most now, or was the only one that had so many. */
        if (n > fair->most || TAILQ_EMPTY(&fair->by_number[fair->most]))
                fair->most = n;
}

/* --- places --- */

static void give_back(struct fair *fair, struct place *p)
{
        struct owner *owner = p->owner;

        TAILQ_REMOVE(&fair->all, p, of_all);
        TAILQ_REMOVE(&owner->places, p, of_owner);
        TAILQ_INSERT_HEAD(&fair->free, p, of_all);
        p->owner = NULL;
        set_number(fair, owner, owner->n - 1);
        if (owner->n == 0)
                drop(fair, owner);
}

void fair_give_back(struct fair *fair, size_t place)
{
        give_back(fair, &fair->places[place]);
}

static struct place *find_free(struct fair *fair)
{
        struct place *p = TAILQ_FIRST(&fair->free);

        if (p)
                TAILQ_REMOVE(&fair->free, p, of_all);
        else if (fair->n_touched < fair->n)
                p = &fair->places[fair->n_touched++];
        return p;
}

size_t fair_take(struct fair *fair, uint64_t key)
{
        struct place *p = find_free(fair);
        struct owner *owner;

        if (!p) {
                owner = TAILQ_FIRST(&fair->by_number[fair->most]);
                p = TAILQ_FIRST(&owner->places);
                assert(p); /* whoever has the most has one */
                give_back(fair, p);
                p = find_free(fair);
        }
        owner = find_or_add(fair, key);
        p->owner = owner;
        TAILQ_INSERT_TAIL(&fair->all, p, of_all);
        TAILQ_INSERT_TAIL(&owner->places, p, of_owner);
        set_number(fair, owner, owner->n + 1);
        return (size_t)(p - fair->places);
}

size_t fair_oldest(const struct fair *fair)
{
        const struct place *p = TAILQ_FIRST(&fair->all);

        return p ? (size_t)(p - fair->places) : FAIR_NONE;
}
