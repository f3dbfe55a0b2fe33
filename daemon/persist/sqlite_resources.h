/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of dynamic resources: one row each, with the whole body. */
#ifndef COAPD_PERSIST_SQLITE_RESOURCES_H
#define COAPD_PERSIST_SQLITE_RESOURCES_H

#include "base/buf.h"
#include "base/spanmap.h"
#include "persist/persist.h"
#include "persist/sqlite_store.h"

struct store_resources {
        struct store *store;
        sqlite3_stmt *put;
        sqlite3_stmt *del;
        sqlite3_stmt *all;
        sqlite3_stmt *one;
        sqlite3_stmt *by_path; /* a walk over the table, for when a group fails */
        sqlite3_stmt *count;
        /*
         * Path to row. The table itself has no index of paths: one with a flipped bit would let a change go
         * to another row unnoticed, and each change would write a page more.
         */
        struct spanmap ids;
        int64_t next_id;
        /* Rows that the host did not take, for the next reload. */
        int64_t *kept;
        size_t n_kept;
        /* Changes that share a transaction; `group` holds their paths, a NUL behind each. */
        struct buf group;
        bool group_open;
        bool group_failed; /* and nobody was told by store_resources_settle() yet */
};

/* Takes `store` over, in success and failure. */
int store_resources_init(struct store_resources *self, struct store *store);
void store_resources_deinit(struct store_resources *self);

/* Hands every stored resource to the host. 0 or -errno. */
int store_resources_restore(struct store_resources *self, const struct persist_host *host);

/* Offers those again that it did not take. */
int store_resources_retry(struct store_resources *self, const struct persist_host *host);

/* As put, del and settle of struct persist_engine. */
int store_resources_put(struct store_resources *self, const struct persist_host *host,
                        const struct stored_resource *stored, bool may_wait);
int store_resources_del(struct store_resources *self, const struct persist_host *host, struct span path,
                        bool may_wait);
int store_resources_settle(struct store_resources *self, const struct persist_host *host);

/* The row as it is written; shared with the import. */
void store_resources_row(const struct stored_resource *stored, struct row *ret_row);
/* And as it is read; false when it makes no sense. Spans live as long as the row's. */
bool store_resources_parse(const struct row *row, struct stored_resource *ret_stored);

#define STORE_RESOURCES_COLUMNS                                                                              \
        "path, content_format, etag, attributes, body, created_us, changed_us, checksum"

#endif
