/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows as libcoap's records; see export.h. The layouts are those that import_records.c reads. */
#include "persist/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/percent.h"
#include "base/util.h"
#include "persist/files.h"
#include "persist/import_records.h"
#include "persist/observation.h"
#include "persist/sqlite_counters.h"
#include "persist/sqlite_resources.h"

static bool put_field(struct buf *out, struct span s)
{
        ssize_t n = (ssize_t)s.n;

        buf_append(out, &n, sizeof n);
        buf_append_span(out, s);
        return s.n <= LIBCOAP_FIELD_MAX;
}

static bool write_observer(const struct row *row, int64_t id, struct buf *out)
{
        static const ssize_t none = -1;
        CLEANUP(observation_deinit) struct observation observation = { 0 };
        coap_proto_t proto = COAP_PROTO_UDP;
        /* The address that it had in the process which wrote it: libcoap tells records apart by it. */
        uintptr_t key = (uintptr_t)id;
        bool fits;

        if (observation_from_row(&observation, row) < 0)
                return false;
        buf_append(out, &key, sizeof key);
        buf_append(out, &proto, sizeof proto);
        buf_append(out, &observation.listen, sizeof observation.listen);
        buf_append(out, &observation.addresses, sizeof observation.addresses);
        fits = put_field(out, observation.request);
        if (!observation.oscore.p)
                buf_append(out, &none, sizeof none);
        else
                fits = put_field(out, observation.oscore) && fits;
        return fits;
}

static bool write_counter(const struct row *row, int64_t id, struct buf *out)
{
        struct span path;
        int64_t number;

        (void)id;
        if (!row_get_text(row, 0, &path) || !row_get_int(row, 1, 0, UINT32_MAX, &number) ||
            !row_is_null(row, 4))
                return false;
        buf_append_span(out, path);
        buf_printf(out, " %lld\n", (long long)number);
        return out->n < LIBCOAP_LINE_MAX && !memchr(path.p, ' ', path.n);
}

/* One Uri-Path option for each segment, without its percent-encoding. */
static void add_path(coap_optlist_t **options, struct span path)
{
        enum { SEGMENT_MAX = 255 }; /* RFC 7252, 5.10 */
        const uint8_t *slash;

        do {
                uint8_t segment[SEGMENT_MAX];
                size_t n, spelled;

                slash = path.n ? memchr(path.p, '/', path.n) : NULL;
                spelled = slash ? (size_t)(slash - path.p) : path.n;
                n = MIN(percent_decode(span_of(path.p, spelled), segment, sizeof segment), sizeof segment);
                coap_insert_optlist(options, coap_new_optlist(COAP_OPTION_URI_PATH, n, segment));
                path = span_skip(path, spelled + (slash != NULL));
        } while (slash);
}

static void add_queries(coap_optlist_t **options, struct span attributes)
{
        while (attributes.n > 0) {
                struct span one = span_cut(&attributes, '&');

                coap_insert_optlist(options, coap_new_optlist(COAP_OPTION_URI_QUERY, one.n, one.p));
        }
}

/* Options as they stand in a message (RFC 7252, 3.1). */
static void put_options(struct buf *out, const coap_optlist_t *options)
{
        enum { HEAD_MAX = 5 };
        uint16_t last = 0;

        for (; options; options = options->next) {
                size_t room = options->length + HEAD_MAX;
                uint8_t *at = buf_reserve(out, room);

                if (!at)
                        return;
                out->n += coap_opt_encode(at, room, (uint16_t)(options->number - last), options->data,
                                          options->length);
                last = options->number;
        }
}

/* The PUT that would create it as it is now. */
static bool write_creation(const struct stored_resource *stored, struct buf *out)
{
        static const uint8_t header[] = { 0x40, COAP_REQUEST_CODE_PUT, 0, 0 }; /* CON without a token */
        coap_optlist_t *options = NULL;
        uint8_t format[4];
        unsigned n;

        add_path(&options, stored->path);
        if (stored->content_format >= 0) {
                n = coap_encode_var_safe(format, sizeof format, (unsigned)stored->content_format);
                coap_insert_optlist(&options, coap_new_optlist(COAP_OPTION_CONTENT_FORMAT, n, format));
        }
        add_queries(&options, stored->attributes);
        buf_append(out, header, sizeof header);
        put_options(out, options);
        coap_delete_optlist(options);
        if (stored->body.n > 0) {
                buf_append_byte(out, 0xff);
                buf_append_span(out, stored->body);
        }
        return buf_ok(out);
}

static bool write_resource(const struct row *row, int64_t id, struct buf *out)
{
        CLEANUP(buf_deinit) struct buf packet = { 0 };
        coap_proto_t proto = COAP_PROTO_UDP;
        struct stored_resource stored;

        (void)id;
        if (!store_resources_parse(row, &stored) || !write_creation(&stored, &packet))
                return false;
        buf_append(out, &proto, sizeof proto);
        return put_field(out, stored.path) && put_field(out, buf_span(&packet));
}

/* Writes every row that can be read. 0 or -errno. */
static int copy_rows(sqlite3 *db, const struct store_schema *schema, FILE *file, uint64_t *ret_copied,
                     uint64_t *ret_skipped)
{
        CLEANUP(buf_deinit) struct buf record = { 0 };
        char *sql = sqlite3_mprintf("SELECT id, %s FROM %s ORDER BY id", schema->tables[0].columns,
                                    schema->tables[0].name);
        bool (*write)(const struct row *, int64_t, struct buf *) =
                schema == &store_schema_resources   ? write_resource
                : schema == &store_schema_observers ? write_observer
                                                    : write_counter;
        sqlite3_stmt *read = NULL;
        int code = sql ? sqlite3_prepare_v2(db, sql, -1, &read, NULL) : SQLITE_NOMEM;

        while (read && (code = sqlite3_step(read)) == SQLITE_ROW) {
                struct row row;
                bool good = row_read(read, 1, &row) && write(&row, sqlite3_column_int64(read, 0), &record) &&
                            buf_ok(&record);

                if (good)
                        fwrite(record.p, 1, record.n, file);
                *(good ? ret_copied : ret_skipped) += 1;
                buf_reset(&record);
        }
        sqlite3_free(sql);
        sqlite3_finalize(read);
        return code == SQLITE_DONE ? 0 : store_errno(db, code);
}

static int write_file(const char *name, const char *path, const struct store_schema *schema,
                      uint64_t *ret_copied, uint64_t *ret_skipped)
{
        FILE *file = fopen(name, "wxe");
        sqlite3 *db = NULL;
        int r;

        if (!file)
                return -errno;
        fchmod(fileno(file), S_IRUSR | S_IWUSR);
        r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
        r = store_errno(db, r);
        if (r == 0)
                r = copy_rows(db, schema, file, ret_copied, ret_skipped);
        /* Which folds its log in: what is set aside is one file. */
        sqlite3_close(db);
        if (r == 0 && (ferror(file) || fflush(file) != 0 || fsync(fileno(file)) < 0))
                r = errno ? -errno : -EIO;
        return fclose(file) == 0 || r < 0 ? r : -errno;
}

int export_to_libcoap(const char *path, const struct store_schema *schema)
{
        CLEANUP(freep) char *name = NULL;
        CLEANUP(freep) char *aside = NULL;
        uint64_t copied = 0, skipped = 0;
        int r;

        if (asprintf(&name, "%s.new", path) < 0)
                return -ENOMEM;
        unlink(name);
        r = write_file(name, path, schema, &copied, &skipped);
        if (r == 0)
                r = persist_file_replace(path, name, "sqlite", &aside);
        if (r < 0) {
                unlink(name);
                return r;
        }
        log_notice("%s: was a store of the engine sqlite; %llu %s taken over, %llu left out, the store kept "
                   "as %s",
                   path, (unsigned long long)copied, schema->what, (unsigned long long)skipped, aside);
        return 0;
}
