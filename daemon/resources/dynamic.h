/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the dynamic kind share: dynamic.c (what requests do to one that is there), dynamic_create.c (how
 * one comes to be), dynamic_restore.c (what the store has of it).
 */
#ifndef COAPD_RESOURCES_DYNAMIC_H
#define COAPD_RESOURCES_DYNAMIC_H

#include "resources/internal.h"

struct dynamic {
        struct resource *resource; /* NULL: not served yet */
        struct representation *content;
        struct buf attributes; /* as a query: rt=a&if=b */
        int64_t created_us;    /* since the epoch */
};

/* Since the epoch. */
int64_t dynamic_now_us(void);

/* Takes `content` over in any case. NULL: no memory, or `content` was NULL. */
struct dynamic *dynamic_new(struct representation *content, int64_t created_us);
void dynamic_free(struct dynamic *dynamic);
static inline void dynamic_freep(struct dynamic **dynamic)
{
        dynamic_free(*dynamic);
}

/* A POST to such a path makes a member below it. */
bool dynamic_names_collection(struct span path);

/* Whether `new_size` bytes in place of `old_size` stay within the config's limit for all resources. */
bool dynamic_bytes_allowed(const struct registry *registry, uint64_t old_size, uint64_t new_size);

/* Whether one more of `size` bytes is within the limits; if not, the response says which it meets. */
bool dynamic_has_room(const struct registry *registry, struct span path, uint64_t size,
                      struct response *response);

/* Attributes as a request has them. */
void dynamic_join_queries(const struct request *request, struct buf *out);

/* Puts `dynamic` into the store as if `content` and `attributes` were its own. 0, or the store's -errno. */
int dynamic_keep(struct registry *registry, struct span path, const struct dynamic *dynamic,
                 const struct representation *content, struct span attributes);

/* Serves `dynamic`, and takes it over. -errno: no memory, and it is the caller's still. */
int dynamic_publish(struct registry *registry, struct span path, struct dynamic *dynamic);

/* Takes `content` over, and tells nobody. */
void dynamic_set_content(struct dynamic *dynamic, struct representation *content);

#endif
