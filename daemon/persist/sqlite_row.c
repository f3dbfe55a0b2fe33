/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows with a checksum; see sqlite_row.h. */
#include "persist/sqlite_row.h"

#include "base/checksum.h"

/* Goes on from the sum of the values before `from`, to those before `to`. */
static uint64_t sum_values(const struct row *row, size_t from, size_t to, uint64_t sum)
{
        for (size_t i = from; i < to; i++) {
                const struct row_value *v = &row->v[i];

                sum = checksum_word(sum, v->type);
                if (v->type == ROW_INT)
                        sum = checksum_word(sum, (uint64_t)v->i);
                else if (v->type != ROW_NULL)
                        sum = checksum_span(sum, v->s);
        }
        return sum;
}

uint64_t row_checksum(const struct row *row)
{
        return sum_values(row, 0, row->n, row->n);
}

static bool is_same(const struct row_value *a, const struct row_value *b)
{
        if (a->type != b->type)
                return false;
        return a->type == ROW_INT ? a->i == b->i : a->type == ROW_NULL || span_equal(a->s, b->s);
}

static int bind_value(const struct row_value *v, sqlite3_stmt *statement, int at)
{
        /* A NULL pointer would bind NULL, and an empty blob is not NULL. */
        const void *p = v->s.n ? (const void *)v->s.p : "";

        switch (v->type) {
        case ROW_INT:
                return sqlite3_bind_int64(statement, at, v->i);
        case ROW_TEXT:
                return sqlite3_bind_text64(statement, at, p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
        case ROW_BLOB:
                return sqlite3_bind_blob64(statement, at, p, v->s.n, SQLITE_STATIC);
        default:
                return sqlite3_bind_null(statement, at);
        }
}

int row_bind_after(const struct row *row, struct row_bound *bound, sqlite3_stmt *statement, int first)
{
        const struct row *before = bound->row;
        size_t same = 0; /* so many at the beginning */
        int r = SQLITE_OK;

        for (size_t i = 0; i < row->n && r == SQLITE_OK; i++) {
                if (!before || !is_same(&row->v[i], &before->v[i]))
                        r = bind_value(&row->v[i], statement, first + (int)i);
                else if (same == i)
                        same++;
        }
        if (bound->n == 0 || same < bound->n) {
                bound->n = same;
                bound->sum = sum_values(row, 0, same, row->n);
        }
        bound->row = row;
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, first + (int)row->n,
                                       (int64_t)sum_values(row, bound->n, row->n, bound->sum));
        return r;
}

int row_bind(const struct row *row, sqlite3_stmt *statement)
{
        return row_bind_after(row, &(struct row_bound){ 0 }, statement, 1);
}

static struct row_value read_value(sqlite3_stmt *statement, int column)
{
        struct row_value v = { .type = ROW_NULL };

        switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER:
                v.type = ROW_INT;
                v.i = sqlite3_column_int64(statement, column);
                break;
        case SQLITE_TEXT:
                v.type = ROW_TEXT;
                v.s.p = sqlite3_column_text(statement, column);
                v.s.n = (size_t)sqlite3_column_bytes(statement, column);
                break;
        case SQLITE_BLOB:
                v.type = ROW_BLOB;
                v.s.p = sqlite3_column_blob(statement, column);
                v.s.n = (size_t)sqlite3_column_bytes(statement, column);
                /* SQLite has no address for nothing; whoever copies nothing should have one. */
                v.s.p = v.s.p ? v.s.p : (const uint8_t *)"";
                break;
        default: /* we store no floating point: it can only be damage, and then the checksum says so */
                break;
        }
        return v;
}

bool row_read(sqlite3_stmt *statement, int first, struct row *ret_row)
{
        int last = sqlite3_column_count(statement) - 1;

        *ret_row = (struct row){ .n = 0 };
        for (int column = first; column < last && ret_row->n < ROW_MAX; column++)
                ret_row->v[ret_row->n++] = read_value(statement, column);
        return sqlite3_column_type(statement, last) == SQLITE_INTEGER &&
               (uint64_t)sqlite3_column_int64(statement, last) == row_checksum(ret_row);
}

bool row_get_int(const struct row *row, size_t i, int64_t min, int64_t max, int64_t *ret)
{
        if (i >= row->n || row->v[i].type != ROW_INT || row->v[i].i < min || row->v[i].i > max)
                return false;
        *ret = row->v[i].i;
        return true;
}

bool row_get_text(const struct row *row, size_t i, struct span *ret)
{
        if (i >= row->n || row->v[i].type != ROW_TEXT)
                return false;
        *ret = row->v[i].s;
        return true;
}

bool row_get_blob(const struct row *row, size_t i, struct span *ret)
{
        if (i >= row->n || row->v[i].type != ROW_BLOB)
                return false;
        *ret = row->v[i].s;
        return true;
}

bool row_get_string(const struct row *row, size_t i, char *out, size_t size)
{
        struct span s;

        if (!row_get_text(row, i, &s) || s.n >= size || memchr(s.p, '\0', s.n))
                return false;
        memcpy(out, s.p, s.n);
        out[s.n] = '\0';
        return true;
}

bool row_is_null(const struct row *row, size_t i)
{
        return i < row->n && row->v[i].type == ROW_NULL;
}

size_t row_bytes(const struct row *row)
{
        size_t n = 0;

        for (size_t i = 0; i < row->n; i++)
                n += row->v[i].s.n;
        return n;
}

void row_copy(struct row *ret_row, const struct row *row, uint8_t *bytes)
{
        ret_row->n = row->n;
        for (size_t i = 0; i < row->n; i++) {
                struct row_value *v = &ret_row->v[i];

                *v = row->v[i];
                if (v->s.n == 0)
                        continue;
                memcpy(bytes, v->s.p, v->s.n);
                v->s.p = bytes;
                bytes += v->s.n;
        }
}
