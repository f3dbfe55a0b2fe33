/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls to the daemon; see call.h. */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INTERFACE "io.coapd.Control."

int call_connect(const char *socket, sd_varlink **ret_link)
{
        int r = sd_varlink_connect_address(ret_link, socket);

        if (r >= 0)
                return 0;
        if (r == -ENOENT || r == -ECONNREFUSED)
                fprintf(stderr,
                        "coapctl: nobody listens on %s: coapd does not run, or its configuration has no "
                        "server.control\n",
                        socket);
        else if (r == -EACCES)
                fprintf(stderr, "coapctl: %s is for root and the group coapd\n", socket);
        else
                fprintf(stderr, "coapctl: %s: %s\n", socket, strerror(-r));
        return r;
}

static const char *text_of(sd_json_variant *object, const char *key)
{
        sd_json_variant *value = sd_json_variant_by_key(object, key);

        return value && sd_json_variant_is_string(value) ? sd_json_variant_string(value) : "?";
}

/* An error reply, in words. */
static void tell(const char *error, sd_json_variant *reply)
{
        sd_json_variant *errors = sd_json_variant_by_key(reply, "errors");

        if (strcmp(error, INTERFACE "NotReloaded") == 0) {
                for (size_t i = 0; errors && i < sd_json_variant_elements(errors); i++)
                        fprintf(stderr, "%s\n", sd_json_variant_string(sd_json_variant_by_index(errors, i)));
                fprintf(stderr, "coapctl: not reloaded, the old configuration goes on%s\n",
                        errors && sd_json_variant_elements(errors) > 0 ? "" : "; the log says why");
        } else if (strcmp(error, INTERFACE "NoSuchResource") == 0) {
                fprintf(stderr, "coapctl: there is no resource %s\n", text_of(reply, "path"));
        } else if (strcmp(error, INTERFACE "NotImported") == 0) {
                fprintf(stderr, "coapctl: /%s is not imported: %s\n", text_of(reply, "path"),
                        text_of(reply, "reason"));
        } else if (strcmp(error, SD_VARLINK_ERROR_INVALID_PARAMETER) == 0) {
                fprintf(stderr, "coapctl: the daemon does not take this value of \"%s\"\n",
                        text_of(reply, "parameter"));
        } else if (strcmp(error, SD_VARLINK_ERROR_METHOD_NOT_FOUND) == 0 ||
                   strcmp(error, SD_VARLINK_ERROR_INTERFACE_NOT_FOUND) == 0) {
                fprintf(stderr, "coapctl: the daemon that runs does not know this; is it an older one?\n");
        } else {
                fprintf(stderr, "coapctl: the daemon answers %s: %s\n", error,
                        strerror(-sd_varlink_error_to_errno(error, reply)));
        }
}

int call_method(sd_varlink *link, const char *method, sd_json_variant *parameters,
                sd_json_variant **ret_reply)
{
        char name[128];
        const char *error = NULL;
        int r;

        snprintf(name, sizeof name, INTERFACE "%s", method);
        r = sd_varlink_call(link, name, parameters, ret_reply, &error);
        if (r < 0) {
                fprintf(stderr, "coapctl: the daemon does not answer: %s\n", strerror(-r));
                return r;
        }
        if (!error)
                return 0;
        tell(error, *ret_reply);
        return -EREMOTEIO;
}

int call_list(sd_varlink *link, const char *method, const char *name, bool bodies,
              int (*visit)(void *user, sd_json_variant *row), void *user)
{
        CLEANUP(sd_json_variant_unrefp) sd_json_variant *next = NULL;

        do {
                CLEANUP(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
                sd_json_variant *reply, *rows;
                int r = sd_json_buildo(
                        &parameters,
                        SD_JSON_BUILD_PAIR_CONDITION(next != NULL, "after", SD_JSON_BUILD_VARIANT(next)),
                        SD_JSON_BUILD_PAIR_CONDITION(bodies, "bodies", SD_JSON_BUILD_BOOLEAN(true)));

                if (r >= 0)
                        r = call_method(link, method, parameters, &reply);
                if (r < 0)
                        return r;
                rows = sd_json_variant_by_key(reply, name);
                for (size_t i = 0; rows && r >= 0 && i < sd_json_variant_elements(rows); i++)
                        r = visit(user, sd_json_variant_by_index(rows, i));
                if (r < 0)
                        return r;
                sd_json_variant_unref(next);
                next = sd_json_variant_ref(sd_json_variant_by_key(reply, "next"));
        } while (next && sd_json_variant_is_string(next));
        return 0;
}
