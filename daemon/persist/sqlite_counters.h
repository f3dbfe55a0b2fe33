/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store of Observe numbers (RFC 7641, 3.4) and of OSCORE sender sequence numbers (RFC 8613, 7.2.1). What
 * is written is a number ahead of those in use, so that a restart goes on from a number that was never sent,
 * and so that most changes need no write.
 *
 * The row of a deleted resource stays a while: made again under the same path, it goes on from there.
 */
#ifndef COAPD_PERSIST_SQLITE_COUNTERS_H
#define COAPD_PERSIST_SQLITE_COUNTERS_H

#include "base/spanmap.h"
#include "persist/persist.h"
#include "persist/sqlite_store.h"

struct counter;
struct sequence;

struct store_counters {
        struct store *store;
        sqlite3_stmt *put;
        sqlite3_stmt *all;
        sqlite3_stmt *prune;
        sqlite3_stmt *sequence_put;
        sqlite3_stmt *sequence_all;
        sqlite3_stmt *boot_put;
        sqlite3_stmt *boot_get;
        struct counter *counters;
        size_t n_counters;
        size_t sweep_at;       /* so many, and those of resources long deleted go */
        struct spanmap places; /* path to place in `counters` */
        int64_t next_id, next_sequence_id;
        struct sequence *sequences;
        bool unsaved; /* some number in memory is ahead of its row */
        bool unnoted; /* the store does not say yet in which boot coapd runs */
        /* The power failed while the last writes were not on the disk yet; and how often it did. */
        bool power_cut;
        uint32_t power_cuts;
};

/* Takes `store` over, in success and failure; reads all of it. */
int store_counters_init(struct store_counters *self, struct store *store);
/* `clean`: everything is written, and nothing will be sent any more. */
void store_counters_deinit(struct store_counters *self, bool clean);

/* Sets the Observe number of every resource that is there. */
void store_counters_restore(struct store_counters *self, const struct persist_host *host);
/* For one that comes later: the number that it goes on from; false: it is new. */
bool store_counters_first(struct store_counters *self, struct span path, uint32_t *ret_number);

/* For the tracking functions. */
void store_counters_track(struct store_counters *self, struct span path, uint32_t number);
void store_counters_deleted(struct store_counters *self, struct span path);

bool store_counters_flush(struct store_counters *self);

/* More notifications than before may leave between two calls of store_counters_track(). */
void store_counters_reserve_more(struct store_counters *self);

/* As persist_engine.sequence_load and _save. */
int store_sequences_load(struct store_counters *self, const char *name, uint64_t *ret_number);
int store_sequences_save(struct store_counters *self, const char *name, uint64_t number);

/* --- sqlite_sequences.c, for sqlite_counters.c --- */

int store_sequences_read(struct store_counters *self);
void store_sequences_free(struct store_counters *self);

/* --- sqlite_running.c, for sqlite_counters.c --- */

/* Looks whether the machine went down since the last orderly end, and notes that it has not ended yet this time. */
void store_running_look(struct store_counters *self);
/* Notes that, so that a power cut from now on is found out. False: the store refuses. */
bool store_running_note(struct store_counters *self);
void store_running_end(struct store_counters *self);

#define COUNTER_COLUMNS "resource, reserved, save_frequency, changed_us, deleted_us, checksum"
#define SEQUENCE_COLUMNS "name, reserved, changed_us, checksum"

#endif
