/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A row of a store, as values with a checksum behind them. Writer and reader go through the same struct, so
 * that a byte which changed on the disk is found before anybody gets to see it.
 */
#ifndef COAPD_PERSIST_SQLITE_ROW_H
#define COAPD_PERSIST_SQLITE_ROW_H

#include <sqlite3.h>

#include "base/span.h"

enum { ROW_MAX = 16 };

enum row_type { ROW_NULL, ROW_INT, ROW_TEXT, ROW_BLOB };

struct row_value {
        enum row_type type;
        int64_t i;
        struct span s; /* borrowed */
};

struct row {
        size_t n;
        struct row_value v[ROW_MAX];
};

static inline void row_add_null(struct row *row)
{
        row->v[row->n++] = (struct row_value){ .type = ROW_NULL };
}

static inline void row_add_int(struct row *row, int64_t i)
{
        row->v[row->n++] = (struct row_value){ .type = ROW_INT, .i = i };
}

static inline void row_add_text(struct row *row, struct span s)
{
        row->v[row->n++] = (struct row_value){ .type = ROW_TEXT, .s = s };
}

static inline void row_add_string(struct row *row, const char *s)
{
        row_add_text(row, span_of_string(s));
}

static inline void row_add_blob(struct row *row, struct span s)
{
        row->v[row->n++] = (struct row_value){ .type = ROW_BLOB, .s = s };
}

uint64_t row_checksum(const struct row *row);

/* Binds the values to the parameters 1 ... n and the checksum to n + 1; the values must outlive the step. */
int row_bind(const struct row *row, sqlite3_stmt *statement);

/* A row that is bound, and the sum of the values that it begins with and has in common with those before it. */
struct row_bound {
        const struct row *row; /* borrowed; NULL: nothing is bound yet */
        size_t n;
        uint64_t sum;
};

/*
 * The same from the parameter `first` on, where a row of as many values may be bound already, which outlives the step,
 * too: what is the same in both is neither bound nor summed again.
 */
int row_bind_after(const struct row *row, struct row_bound *bound, sqlite3_stmt *statement, int first);

/*
 * Reads the columns from `first` up to the last, which is the checksum. The spans live until the next step.
 * Returns whether the checksum fits.
 */
bool row_read(sqlite3_stmt *statement, int first, struct row *ret_row);

/* How much the spans point at. */
size_t row_bytes(const struct row *row);
/* A copy whose spans point at copies in `bytes`, which has room for all of it. */
void row_copy(struct row *ret_row, const struct row *row, uint8_t *bytes);

/* Typed access to what was read; false when the value is of another type or not there. */
bool row_get_int(const struct row *row, size_t i, int64_t min, int64_t max, int64_t *ret);
bool row_get_text(const struct row *row, size_t i, struct span *ret);
bool row_get_blob(const struct row *row, size_t i, struct span *ret);
/* The same, as a C string of at most `size` - 1 bytes without a NUL inside. */
bool row_get_string(const struct row *row, size_t i, char *out, size_t size);
bool row_is_null(const struct row *row, size_t i);

#endif
