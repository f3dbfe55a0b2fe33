/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Contexts as they are written down: hex digits in the config; in libcoap's files a line for each value,
 * "keyword,encoding,value" (coap-oscore-conf(5)).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "security/oscore_internal.h"

void oscore_source_deinit(struct oscore_source *source)
{
        secret_deinit(&source->sender_id);
        secret_deinit(&source->secret);
        secret_deinit(&source->salt);
        secret_deinit(&source->id_context);
        for (size_t i = 0; i < source->n_recipients; i++)
                secret_deinit(&source->recipients[i]);
        free(source->recipients);
        *source = (struct oscore_source){ 0 };
}

static int add_recipient(struct oscore_source *source, struct secret *id)
{
        struct secret *grown = reallocarray(source->recipients, source->n_recipients + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        source->recipients = grown;
        grown[source->n_recipients++] = *id;
        *id = (struct secret){ 0 };
        return 0;
}

/* Absent digits are no bytes. */
static int read_hex(const char *digits, const struct conf_oscore *conf, const char *key,
                    struct key_errors *errors, struct secret *ret_bytes)
{
        int r = secret_from_hex(digits ? digits : "", ret_bytes);

        if (r == -EINVAL)
                key_error(errors, conf->at, key, "is not valid, expected pairs of hex digits");
        return r;
}

static int read_secret(const struct conf_oscore *conf, struct key_errors *errors, struct secret *ret_secret)
{
        CLEANUP(secret_deinit) struct secret file = { 0 };

        if (!conf->master_secret == !conf->master_secret_file) {
                key_error(errors, conf->at, "",
                          "has %s, expected one of master_secret_file and master_secret",
                          conf->master_secret ? "two master secrets" : "no master secret");
                return -EINVAL;
        }
        if (!conf->master_secret_file)
                return read_hex(conf->master_secret, conf, "master_secret", errors, ret_secret);
        if (secret_read_file(conf->master_secret_file, true, errors, conf->at, "master_secret_file", &file) <
            0)
                return -EINVAL;
        return read_hex((const char *)file.p, conf, "master_secret_file", errors, ret_secret);
}

int oscore_source_of_config(const struct conf_oscore *conf, struct key_errors *errors,
                            struct oscore_source *ret_source)
{
        int r = read_hex(conf->sender_id, conf, "sender_id", errors, &ret_source->sender_id);

        ret_source->at = conf->at;
        if (r == 0)
                r = read_secret(conf, errors, &ret_source->secret);
        if (r == 0)
                r = read_hex(conf->master_salt, conf, "master_salt", errors, &ret_source->salt);
        if (r == 0)
                r = read_hex(conf->id_context, conf, "id_context", errors, &ret_source->id_context);
        for (size_t i = 0; i < conf->recipient_ids.n && r == 0; i++) {
                CLEANUP(secret_deinit) struct secret id = { 0 };

                r = read_hex(conf->recipient_ids.v[i], conf, "recipient_ids", errors, &id);
                if (r == 0)
                        r = add_recipient(ret_source, &id);
        }
        return r;
}

/* --- libcoap's files --- */

/* Cuts off the next field at a comma; the last one runs to the end. */
static char *take_field(char **rest)
{
        char *field = *rest, *comma = strchr(field, ',');

        if (comma)
                *comma = '\0';
        *rest = comma ? comma + 1 : field + strlen(field);
        return field;
}

/* What stands in quotes, or all of it. */
static char *unquote(char *value)
{
        char *end = *value == '"' ? strchr(value + 1, '"') : NULL;

        if (!end)
                return value;
        *end = '\0';
        return value + 1;
}

static int read_bytes(const char *encoding, const char *value, struct secret *ret_bytes)
{
        if (strcmp(encoding, "hex") == 0)
                return secret_from_hex(value, ret_bytes);
        return strcmp(encoding, "ascii") == 0 ? secret_from_text(value, ret_bytes) : -EINVAL;
}

/* A value that is not bytes. Those for tests of interoperability, and algorithms but the usual, are refused. */
static int take_setting(struct oscore_source *source, const char *keyword, const char *value)
{
        static const struct {
                const char *keyword, *value;
        } known[] = {
                { "aead_alg", "AES-CCM-16-64-128" },   { "aead_alg", "10" },
                { "hkdf_alg", "direct+HKDF-SHA-256" }, { "hkdf_alg", "-10" },
                { "rfc8613_b_1_2", "true" },           { "rfc8613_b_2", "false" },
                { "break_sender_key", "false" },       { "break_recipient_key", "false" },
        };
        char *end;

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                if (strcmp(keyword, known[i].keyword) == 0 && strcmp(value, known[i].value) == 0)
                        return 0;
        }
        if (strcmp(keyword, "ssn_freq") == 0)
                return 0; /* coapd has its own */
        if (strcmp(keyword, "replay_window") != 0)
                return -EINVAL;
        source->replay_window = (unsigned)strtoul(value, &end, 10);
        return *end || source->replay_window < 1 || source->replay_window > 63 ? -EINVAL : 0;
}

static int take_line(struct oscore_source *source, char *line)
{
        const char *keyword = take_field(&line), *encoding = take_field(&line);
        CLEANUP(secret_deinit) struct secret id = { 0 };
        struct {
                const char *keyword;
                struct secret *to;
        } bytes[] = {
                { "sender_id", &source->sender_id },
                { "master_secret", &source->secret },
                { "master_salt", &source->salt },
                { "id_context", &source->id_context },
                { "recipient_id", &id },
        };
        char *value = unquote(line);

        for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
                int r;

                if (strcmp(keyword, bytes[i].keyword) != 0)
                        continue;
                r = bytes[i].to->p ? -EINVAL : read_bytes(encoding, value, bytes[i].to);
                return r == 0 && bytes[i].to == &id ? add_recipient(source, &id) : r;
        }
        return take_setting(source, keyword, value);
}

int oscore_source_of_file(const char *file, struct conf_origin at, struct key_errors *errors,
                          struct oscore_source *ret_source)
{
        CLEANUP(secret_deinit) struct secret text = { 0 };
        char *rest, *line;
        unsigned number = 0;

        ret_source->at = at;
        if (secret_read_file(file, true, errors, at, "", &text) < 0)
                return -EINVAL;
        rest = (char *)text.p;
        while ((line = strsep(&rest, "\n"))) {
                int r;

                number++;
                line[strcspn(line, "\r")] = '\0';
                if (!*line || *line == '#')
                        continue;
                r = take_line(ret_source, line);
                if (r == -ENOMEM)
                        return r;
                if (r == 0)
                        continue;
                /* Not the line itself: it may hold a secret. */
                key_error(errors, at, "", "%s:%u is not valid, expected a line of coap-oscore-conf(5)", file,
                          number);
                return -EINVAL;
        }
        if (!ret_source->sender_id.p)
                key_error(errors, at, "", "%s has no sender_id, expected one", file);
        return ret_source->sender_id.p ? 0 : -EINVAL;
}
