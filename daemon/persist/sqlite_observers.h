/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store of observations: one row each, with addresses as text and the registering request as it came in.
 *
 * libcoap does not ask whether an observation could be kept: what the store refuses waits in memory, in
 * order, and is written when the store works again. So does what comes together with more, until
 * store_observers_settle(), which writes it as one.
 */
#ifndef COAPD_PERSIST_SQLITE_OBSERVERS_H
#define COAPD_PERSIST_SQLITE_OBSERVERS_H

#include "base/ptrmap.h"
#include "persist/persist.h"
#include "persist/sqlite_store.h"

struct postponed;

struct store_observers {
        struct store *store;
        sqlite3_stmt *insert;
        sqlite3_stmt *append;
        sqlite3_stmt *del;
        sqlite3_stmt *all;
        sqlite3_stmt *kept;
        sqlite3_stmt *count;
        sqlite3_stmt *keep;
        sqlite3_stmt *unkeep;
        sqlite3_stmt *prune;
        sqlite3_stmt *prune_kept;
        struct ptrmap ids; /* coap_subscription_t to row */
        int64_t next_id;
        int64_t last; /* the highest id in the table, 0: not known */
        bool apart;   /* somebody else has put rows behind ours */
        /* Not written yet: for want of room on the disk or the like, or because more are about to come. */
        struct postponed *postponed, **postponed_end;
        size_t n_postponed;
        bool overflowed; /* some are lost, which was logged */
        uint8_t *block;  /* the first of them lie in there */
        size_t block_used;
        bool grouped; /* all of them for the second reason */
        /* While coap_persist_observe_add() runs: the row it is for, and what came of it. */
        int64_t restoring;
        coap_subscription_t *restored;
};

/* Takes `store` over, in success and failure. */
int store_observers_init(struct store_observers *self, struct store *store);
void store_observers_deinit(struct store_observers *self);

/* How many rows there are. Reads them all. */
uint64_t store_observers_count(struct store_observers *self);

/*
 * Registers every stored observation with libcoap, or, with `only_kept`, those that found no place before.
 * The tracking functions must be installed already: they tell which subscription a row became. 0 or -errno.
 */
int store_observers_restore(struct store_observers *self, const struct persist_host *host, bool only_kept);

/* For the tracking functions. */
void store_observers_added(struct store_observers *self, coap_subscription_t *subscription,
                           const coap_address_t *listen, const coap_addr_tuple_t *addresses,
                           struct span request, struct span oscore, bool may_wait);
void store_observers_deleted(struct store_observers *self, const coap_subscription_t *subscription,
                             bool may_wait);

/* Before any answer leaves. */
void store_observers_settle(struct store_observers *self);

/* Tries what waits; true when nothing does any more. */
bool store_observers_flush(struct store_observers *self);

#endif
