/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers by name that are never used twice: OSCORE's sender sequence numbers, where a second use gives the
 * key stream away. So here, other than with Observe numbers, every write is on the disk before it counts,
 * whatever `sync` says; and it is far ahead, so that few messages wait for the disk.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "persist/sqlite_counters.h"

enum { AHEAD = 4096, NAME_SIZE = 65 };

struct sequence {
        struct sequence *next;
        int64_t id;
        uint64_t reserved; /* nothing from here on was used */
        char name[NAME_SIZE];
};

static struct sequence *find(const struct store_counters *self, const char *name)
{
        struct sequence *s = self->sequences;

        while (s && strcmp(s->name, name) != 0)
                s = s->next;
        return s;
}

static struct sequence *add(struct store_counters *self, int64_t id, const char *name, uint64_t reserved)
{
        size_t n = strlen(name);
        struct sequence *s = n < NAME_SIZE ? calloc(1, sizeof *s) : NULL;

        if (!s)
                return NULL;
        memcpy(s->name, name, n + 1);
        s->id = id;
        self->next_sequence_id = MAX(self->next_sequence_id, id + 1);
        s->reserved = reserved;
        s->next = self->sequences;
        self->sequences = s;
        return s;
}

int store_sequences_read(struct store_counters *self)
{
        int code;

        while ((code = sqlite3_step(self->sequence_all)) == SQLITE_ROW) {
                char name[NAME_SIZE];
                int64_t id = sqlite3_column_int64(self->sequence_all, 0), reserved;
                struct row row;

                if (id <= 0 || !row_read(self->sequence_all, 1, &row) ||
                    !row_get_string(&row, 0, name, sizeof name) ||
                    !row_get_int(&row, 1, 1, INT64_MAX, &reserved))
                        store_quarantine(self->store, &store_schema_counters.tables[1], id);
                else if (!add(self, id, name, (uint64_t)reserved))
                        return -ENOMEM;
        }
        sqlite3_reset(self->sequence_all);
        return code == SQLITE_DONE ? 0 : store_errno(self->store->db, code);
}

void store_sequences_free(struct store_counters *self)
{
        while (self->sequences) {
                struct sequence *next = self->sequences->next;

                free(self->sequences);
                self->sequences = next;
        }
}

int store_sequences_load(struct store_counters *self, const char *name, uint64_t *ret_number)
{
        const struct sequence *s = find(self, name);

        if (!s || s->reserved == 0)
                return -ENOENT;
        *ret_number = s->reserved;
        return 0;
}

static int write_sequence(struct store_counters *self, const struct sequence *s, uint64_t reserved)
{
        struct row row = { .n = 0 };
        int r;

        row_add_string(&row, s->name);
        row_add_int(&row, (int64_t)reserved);
        row_add_int(&row, store_now_us());
        r = row_bind(&row, self->sequence_put);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(self->sequence_put, (int)row.n + 2, s->id);
        r = r == SQLITE_OK ? store_write(self->store, self->sequence_put) : -ENOMEM;
        if (r == 0 && self->store->conf->sync != CONF_SYNC_ALWAYS)
                r = store_sync(self->store);
        return r;
}

/* `number` and what follows may be used until the next call, which comes before `number` + its step is. */
int store_sequences_save(struct store_counters *self, const char *name, uint64_t number)
{
        struct sequence *s = find(self, name);
        int r;

        if (number > INT64_MAX - AHEAD)
                return -ERANGE;
        if (s && number <= s->reserved)
                return 0;
        if (!s)
                s = add(self, self->next_sequence_id, name, 0);
        if (!s)
                return -ENOMEM;
        r = write_sequence(self, s, number + AHEAD);
        if (r == 0)
                s->reserved = number + AHEAD;
        return r;
}
