/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon is told to do. Each is in the log with who told it. */
#include "control/internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void variant_unref(sd_json_variant **variant)
{
        sd_json_variant_unref(*variant);
}

/* The unit's PrivateUsers= shows no users but root and coapd's: the process tells more. */
static long asking_process(sd_varlink *link)
{
        pid_t pid = 0;

        return sd_varlink_get_peer_pid(link, &pid) < 0 ? 0 : (long)pid;
}

/* --- notify --- */

int control_notify(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags, void *user)
{
        static const sd_json_dispatch_field fields[] = {
                { "path", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, 0, SD_JSON_MANDATORY },
                { 0 },
        };
        struct control *control = user;
        const char *path = NULL;
        bool observed = false;
        int r = sd_varlink_dispatch(link, parameters, fields, &path);

        (void)flags;
        if (r != 0)
                return r;
        r = control->host.notify(control->host.user, span_of_string(path), &observed);
        if (r == -ENOENT)
                return sd_varlink_errorbo(link, CONTROL_INTERFACE ".NoSuchResource",
                                          SD_JSON_BUILD_PAIR_STRING("path", path));
        if (r < 0)
                return r;
        log_info("observers of %s are told the present state: process %ld asked for it",
                 LOG_ESCAPE(span_of_string(path)), asking_process(link));
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_BOOLEAN("observed", observed));
}

/* --- reload --- */

static int lines_of(char *text, sd_json_variant **ret_lines)
{
        char *line, *rest = text;
        int r = sd_json_variant_new_array(ret_lines, NULL, 0);

        while (r >= 0 && (line = strsep(&rest, "\n"))) {
                CLEANUP(variant_unref) sd_json_variant *one = NULL;

                if (!*line)
                        continue;
                r = sd_json_variant_new_string(&one, LOG_ESCAPE(span_of_string(line)));
                if (r >= 0)
                        r = sd_json_variant_append_array(ret_lines, one);
        }
        return r;
}

int control_reload(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags, void *user)
{
        struct control *control = user;
        CLEANUP(variant_unref) sd_json_variant *lines = NULL;
        CLEANUP(freep) char *text = NULL;
        size_t size = 0;
        FILE *out;
        int reloaded,
                r = sd_varlink_dispatch(link, parameters, (const sd_json_dispatch_field[]){ { 0 } }, NULL);

        (void)flags;
        if (r != 0)
                return r;
        out = open_memstream(&text, &size);
        if (!out)
                return -ENOMEM;
        log_info("process %ld asked for a reload", asking_process(link));
        reloaded = control->host.reload(control->host.user, out);
        if (fclose(out) != 0)
                return -ENOMEM;
        r = lines_of(text, &lines);
        if (r < 0)
                return r;
        if (reloaded < 0)
                return sd_varlink_errorbo(link, CONTROL_INTERFACE ".NotReloaded",
                                          SD_JSON_BUILD_PAIR_VARIANT("errors", lines));
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("changes", lines));
}

/* --- import --- */

struct import_request {
        const char *path;
        const char *attributes;
        int content_format;
        struct {
                uint8_t *p;
                size_t n;
        } body;
};

static int dispatch_body(const char *name, sd_json_variant *variant, sd_json_dispatch_flags_t flags,
                         void *member)
{
        struct import_request *request = member;
        void *bytes = NULL;
        size_t n = 0;
        int r = sd_json_variant_unhex(variant, &bytes, &n);

        (void)name, (void)flags;
        if (r < 0)
                return r;
        free(request->body.p);
        request->body.p = bytes;
        request->body.n = n;
        return 0;
}

/* sd_json_dispatch_int() takes no null, whatever SD_JSON_NULLABLE says. */
static int dispatch_format(const char *name, sd_json_variant *variant, sd_json_dispatch_flags_t flags,
                           void *member)
{
        return sd_json_variant_is_null(variant) ? 0 : sd_json_dispatch_int(name, variant, flags, member);
}

static const sd_json_dispatch_field import_fields[] = {
        { "path", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
          offsetof(struct import_request, path), SD_JSON_MANDATORY },
        { "content_format", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_format,
          offsetof(struct import_request, content_format), SD_JSON_NULLABLE },
        { "attributes", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
          offsetof(struct import_request, attributes), SD_JSON_NULLABLE },
        { "body_hex", SD_JSON_VARIANT_STRING, dispatch_body, 0, SD_JSON_MANDATORY },
        { 0 },
};

static void import_request_deinit(struct import_request *request)
{
        free(request->body.p);
}

int control_import(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags, void *user)
{
        struct control *control = user;
        CLEANUP(import_request_deinit)
        struct import_request request = { .content_format = -1, .attributes = "" };
        struct stored_resource stored;
        char why[160] = "";
        bool created = false;
        int r = sd_varlink_dispatch(link, parameters, import_fields, &request);

        (void)flags;
        if (r != 0)
                return r;
        stored = (struct stored_resource){
                .path = span_of_string(request.path),
                .content_format = request.content_format,
                .attributes = span_of_string(request.attributes),
                .body = span_of(request.body.p, request.body.n),
        };
        r = control->host.import(control->host.user, &stored, &created, why, sizeof why);
        if (r < 0)
                return sd_varlink_errorbo(link, CONTROL_INTERFACE ".NotImported",
                                          SD_JSON_BUILD_PAIR_STRING("path", request.path),
                                          SD_JSON_BUILD_PAIR_STRING("reason", why));
        log_debug("resource /%s is imported: process %ld asked for it", LOG_ESCAPE(stored.path),
                  asking_process(link));
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_BOOLEAN("created", created));
}
