/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the kind `rd`, a resource directory (RFC 9176): rd.c (the kind, what is at which path), rd_set.c (the
 * registrations and the clock), rd_registration.c (one of them, and how it is kept), rd_register.c (what endpoints ask
 * for), rd_simple.c (who only asks to be asked), rd_lookup.c (what clients ask for).
 *
 * Below the path of the resource, say "rd": "rd/lookup/res" and "rd/lookup/ep" are the lookups, "rd/ID" is a
 * registration.
 */
#ifndef COAPD_RESOURCES_RD_H
#define COAPD_RESOURCES_RD_H

#include "base/buf.h"
#include "resources/kind.h"

struct rd_conf {
        long long max_registrations;
        long long max_size;
        long long max_total_size;
        bool simple_registration;
        long long max_fetches;
        long long fetch_timeout; /* seconds */
};

enum { RD_ID_LENGTH = 8, RD_NAME_MAX = 63 };

struct rd_registration {
        char id[RD_ID_LENGTH + 1];
        struct buf endpoint; /* ep */
        struct buf sector;   /* d; empty: none */
        struct buf extra;    /* the other parameters, "name=value" or "name", each behind a newline */
        struct buf base;
        bool base_given;  /* else it is where the endpoint spoke from last */
        struct buf owner; /* who registered it, as resource_identify() says; empty: nobody in particular */
        bool simple;      /* registered at /.well-known/rd */
        unsigned link;    /* the interface that a link-local base is on; else 0 */
        uint32_t lifetime_s;
        int64_t created_us; /* all times since 1970 */
        uint64_t expires_us;
        bool shown;                   /* its lifetime was not over when it was looked at last */
        struct representation *links; /* as they were posted, or fetched */
        uint64_t fresh_until_us;      /* fetched links need not be fetched again; not kept over a restart */
};

struct rd_lookup_cache;
struct rd_fetch;

struct rd {
        struct resource *resource;
        const struct rd_conf *conf;
        struct rd_registration **v; /* in the order of their creation */
        size_t n;
        uint64_t bytes;      /* of all links */
        uint64_t generation; /* of what lookups show */
        bool changed;        /* observers of the lookups are to be told */
        uint64_t wake_us;    /* UINT64_MAX: not waiting */
        struct rd_lookup_cache *cache;
        struct rd_fetch *fetches; /* under way, or over and to be swept away */
};

uint64_t rd_now_us(void);

/* --- rd_registration.c --- */

struct rd_registration *rd_registration_new(void);
void rd_registration_free(struct rd_registration *registration);
void rd_registration_freep(struct rd_registration **registration);

/*
 * Reads what stands in queries of a registration, `update` or not, into a registration that is to become the new one.
 * False: `response` says what is wrong.
 */
bool rd_registration_read(struct rd_registration *registration, const struct request *request, bool update,
                          struct response *response);

/* Walks over the extra parameters: begin with `*rest` as extra. */
bool rd_extra_next(struct span *rest, struct span *ret_name, struct span *ret_value, bool *ret_has_value);

/* A copy, but for the links, which both have. NULL: no memory. */
struct rd_registration *rd_registration_copy(const struct rd_registration *registration);

/* Into the shape of a stored resource, and back. `attributes` holds what `ret_stored` borrows. */
int rd_registration_store(const struct rd_registration *registration, struct buf *attributes,
                          struct stored_resource *ret_stored);
/* NULL: it is none of ours. */
struct rd_registration *rd_registration_restore(struct span id, const struct stored_resource *stored);

/* --- rd_set.c: the set --- */

struct rd_registration *rd_find(const struct rd *rd, struct span id);
struct rd_registration *rd_find_endpoint(const struct rd *rd, struct span endpoint, struct span sector);
/* Puts `registration` into the set, in the place of `old` if there is one, which is freed. 0 or -ENOMEM. */
int rd_set(struct rd *rd, struct rd_registration *old, struct rd_registration *registration);
void rd_remove(struct rd *rd, struct rd_registration *registration);
/* For a new one: makes room by those whose lifetime is over. False: there is none, and `response` says so. */
bool rd_has_room(struct rd *rd, uint64_t bytes, struct response *response);

/* Whether one more with so many bytes of links has room as it is. */
bool rd_fits(const struct rd *rd, uint64_t bytes);
/* As the kind's. */
void rd_wake(void *self, uint64_t now_us);
/* It is called in the next turn of the loop. */
void rd_wake_soon(struct rd *rd);

/* --- the requests --- */

void rd_register(struct rd *rd, const struct request *request, struct response *response);
void rd_update(struct rd *rd, struct span id, const struct request *request, struct response *response);
void rd_delete(struct rd *rd, struct span id, const struct request *request, struct response *response);

/* Whether it is link-format (RFC 6690) that lookups can make sense of. */
bool rd_links_in_order(struct span links);
/*
 * `registration` has all that a request says. Whether it may be made: nobody else has its name, and there is room for
 * so many bytes of links.
 */
bool rd_may_register(struct rd *rd, const struct rd_registration *registration, uint64_t bytes,
                     struct response *response);
/* Makes it, with these links, in the place of one with its name. False: `response` says why not. Takes it over. */
bool rd_make_registration(struct rd *rd, struct rd_registration *registration, struct span links,
                          struct response *response);

/* rd_simple.c */
void rd_register_simply(struct rd *rd, const struct request *request, struct response *response);
/* Frees the fetches that are over. Not from within one. */
void rd_simple_sweep(struct rd *rd);
/* Nobody is asked any longer. */
void rd_simple_end(struct rd *rd);

enum rd_lookup { RD_LOOKUP_RES, RD_LOOKUP_EP };
void rd_lookup(struct rd *rd, enum rd_lookup which, const struct request *request, struct response *response);
void rd_lookup_cache_free(struct rd_lookup_cache *cache);

#endif
