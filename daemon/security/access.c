/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules, compiled: paths and methods into globs.c, subjects into subjects.c. What is left here is the
 * order: which rule comes first.
 */
#include "security/access.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

#include "base/util.h"
#include "security/globs.h"
#include "security/subjects.h"

static_assert(ACCESS_N_METHODS == GLOBS_N_METHODS, "a bit for each method");

struct access {
        const struct conf_access_rule *rules;
        uint32_t n_rules;
        unsigned *methods; /* of each rule */
        struct globs *globs;
        struct subjects *subjects;
};

static const char *const method_names[ACCESS_N_METHODS] = {
        "GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH", "OBSERVE", "CREATE",
};

static const char expected_method[] = "GET, POST, PUT, DELETE, FETCH, PATCH, iPATCH, OBSERVE, CREATE or *";

unsigned access_method_by_name(const char *name)
{
        if (strcmp(name, "*") == 0)
                return (1u << ACCESS_N_METHODS) - 1;
        for (size_t i = 0; i < ACCESS_N_METHODS; i++) {
                if (strcasecmp(name, method_names[i]) == 0)
                        return 1u << i;
        }
        return 0;
}

const char *access_method_names(unsigned methods, char *out, size_t size)
{
        size_t used = 0;

        out[0] = '\0';
        for (size_t i = 0; i < ACCESS_N_METHODS && used < size; i++) {
                if (methods & 1u << i)
                        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "",
                                                 method_names[i]);
        }
        return out;
}

const char *access_check_path(const char *path)
{
        return globs_check(path);
}

const char *access_check_method(const char *name)
{
        return access_method_by_name(name) ? NULL : expected_method;
}

const char *access_check_subject(const char *subject)
{
        struct subjects *scratch = subjects_new(1);
        const char *expected = NULL;
        int r = scratch ? subjects_add(scratch, 0, subject, &expected) : -ENOMEM;

        subjects_free(scratch);
        return r == -EINVAL ? expected : NULL;
}

/* One line for the operator. A wrong value is quoted: nothing in a rule is secret. */
static void report(FILE *errors, const struct conf_access_rule *rule, const char *key, const char *value,
                   const char *expected)
{
        fprintf(errors, "%s:%u: access.%s: \"%s\" is not valid, expected %s\n", rule->at.file, rule->at.line,
                key, value ? value : "", expected);
}

/* 0, -ENOMEM, or -EINVAL after having written what is wrong. */
static int compile_rule(struct access *access, uint32_t index, FILE *errors)
{
        const struct conf_access_rule *rule = &access->rules[index];
        const char *expected = rule->path ? globs_check(rule->path) : "a path such as \"/sensors/**\"";
        int result = 0, r;

        for (size_t i = 0; i < rule->methods.n; i++) {
                unsigned method = access_method_by_name(rule->methods.v[i]);

                if (!method) {
                        report(errors, rule, "methods", rule->methods.v[i], expected_method);
                        result = -EINVAL;
                }
                access->methods[index] |= method;
        }
        if (expected) {
                report(errors, rule, "path", rule->path, expected);
                result = -EINVAL;
        } else {
                r = globs_add(access->globs, rule->path, access->methods[index], index);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < rule->allow.n; i++) {
                r = subjects_add(access->subjects, index, rule->allow.v[i], &expected);
                if (r == -EINVAL) {
                        report(errors, rule, "allow", rule->allow.v[i], expected);
                        result = -EINVAL;
                } else if (r < 0) {
                        return r;
                }
        }
        return result;
}

static void access_freep(struct access **access)
{
        access_free(*access);
}

int access_compile(const struct config *config, FILE *errors, struct access **ret_access)
{
        CLEANUP(access_freep) struct access *access = calloc(1, sizeof(*access));
        int result = 0;

        if (!access)
                return -ENOMEM;
        access->rules = config->access.v;
        access->n_rules = (uint32_t)config->access.n;
        access->methods = calloc(config->access.n + 1, sizeof(*access->methods));
        access->globs = globs_new();
        access->subjects = subjects_new(config->access.n);
        if (!access->methods || !access->globs || !access->subjects)
                return -ENOMEM;
        for (uint32_t i = 0; i < access->n_rules; i++) {
                int r = compile_rule(access, i, errors);

                if (r == -ENOMEM)
                        return r;
                result = r < 0 ? r : result;
        }
        if (result < 0)
                return result;
        if (globs_finish(access->globs) < 0)
                return -ENOMEM;
        *ret_access = TAKE(access);
        return 0;
}

enum access_answer access_decide(const struct access *access, const struct identity *who, struct span path,
                                 unsigned methods, const struct conf_access_rule **ret_rule)
{
        const struct conf_access_rule *decided = NULL;
        uint32_t first[ACCESS_N_METHODS];
        bool allowed = access->n_rules == 0 ? !(methods & ACCESS_CREATE) : methods != 0;

        if (access->n_rules > 0)
                globs_find(access->globs, path, methods, first);
        for (unsigned left = methods; left && access->n_rules > 0 && allowed; left &= left - 1) {
                unsigned i = (unsigned)__builtin_ctz(left);

                decided = first[i] == GLOBS_NO_RULE ? NULL : &access->rules[first[i]];
                allowed = decided && subjects_have(access->subjects, first[i], who);
        }
        if (ret_rule)
                *ret_rule = decided;
        if (allowed)
                return ACCESS_ALLOWED;
        return who->kind == IDENTITY_NONE ? ACCESS_STRANGER : ACCESS_DENIED;
}

bool access_strangers_may_write(const struct access *access, const struct conf_access_rule **ret_rule)
{
        for (uint32_t i = 0; i < access->n_rules; i++) {
                if ((access->methods[i] & ACCESS_WRITES) && subjects_have_strangers(access->subjects, i)) {
                        *ret_rule = &access->rules[i];
                        return true;
                }
        }
        return access->n_rules == 0;
}

const struct conf_access_rule *access_covered_by(const struct access *access, size_t index)
{
        enum { COMPARABLE = 2000 };
        unsigned left = access->methods[index];

        if (access->n_rules > COMPARABLE)
                return NULL;
        for (size_t i = 0; i < index; i++) {
                if (!(access->methods[i] & left) ||
                    !globs_cover(access->rules[i].path, access->rules[index].path))
                        continue;
                left &= ~access->methods[i];
                if (!left)
                        return &access->rules[i];
        }
        return NULL;
}

bool access_somebody_may_create(const struct access *access)
{
        for (uint32_t i = 0; i < access->n_rules; i++) {
                if ((access->methods[i] & ACCESS_CREATE) && access->rules[i].allow.n > 0)
                        return true;
        }
        return false;
}

void access_free(struct access *access)
{
        if (!access)
                return;
        free(access->methods);
        globs_free(access->globs);
        subjects_free(access->subjects);
        free(access);
}
