/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a peer may do: the rules of the config's `access` list, compiled once and asked for every request.
 *
 * A rule has a path, methods, and the subjects that it allows. For each method of a request the FIRST rule
 * in the order of the file whose path and methods match decides: whoever its `allow` names may, everyone else
 * may not, and no later rule is looked at. So a narrow rule goes before a wide one, and an empty `allow`
 * closes a path to everyone. When no rule matches, nobody may. Without any rule at all everyone may do
 * everything but CREATE: what others are to store here takes a rule that says so.
 *
 * Paths.    Absolute, in plain text, one or more segments. `*` stands for any run of characters within a
 *           segment, also none; a segment of two, for any number of segments, also none. So behind "/a/" it
 *           matches /a, /a/b and /a/b/c, and alone everything. Everything else stands for itself; upper and
 *           lower case differ. Segments are compared by their bytes as RFC 7252, 5.10.1 sends them, so that
 *           an encoded slash never passes for a separator.
 * Methods.  GET POST PUT DELETE FETCH PATCH iPATCH, in any case, and two kinds of use that need a leave of
 *           their own: OBSERVE (with GET or FETCH) and CREATE (a PUT or POST that makes a new resource).
 *           "*" stands for all of them.
 * Subjects. anyone; authenticated (proved any key); psk:IDENTITY; cert:CN=NAME, also O=, OU=, DNS=, URI= and
 *           so on, with several parts joined by commas of which a certificate must have all (a comma or a
 *           backslash within one stands behind a backslash); rpk:SHA256;
 *           oscore:RECIPIENT_ID; and net:PREFIX/LENGTH, an address that a peer without keys can forge over
 *           UDP. "psk:*", "cert:*", "rpk:*" and "oscore:*" stand for any peer of that kind.
 *
 * A decision walks a trie of the path's segments and looks subjects up in a hash table: its cost grows with
 * the depth of the path, not with the number of rules. Only globs at one depth of the same branch add up.
 */
#ifndef COAPD_SECURITY_ACCESS_H
#define COAPD_SECURITY_ACCESS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/span.h"
#include "config/config.h"
#include "security/identity.h"

enum access_method {
        ACCESS_GET = 1 << 0,
        ACCESS_POST = 1 << 1,
        ACCESS_PUT = 1 << 2,
        ACCESS_DELETE = 1 << 3,
        ACCESS_FETCH = 1 << 4,
        ACCESS_PATCH = 1 << 5,
        ACCESS_IPATCH = 1 << 6,
        ACCESS_OBSERVE = 1 << 7,
        ACCESS_CREATE = 1 << 8,
};

#define ACCESS_N_METHODS 9
#define ACCESS_WRITES                                                                                        \
        (ACCESS_POST | ACCESS_PUT | ACCESS_DELETE | ACCESS_PATCH | ACCESS_IPATCH | ACCESS_CREATE)

enum access_answer {
        ACCESS_ALLOWED,
        ACCESS_STRANGER, /* 4.01: who proves a key might be allowed */
        ACCESS_DENIED,   /* 4.03: known, and not allowed */
};

struct access;

/*
 * Compiles config->access. Every mistake is a line "FILE:LINE: KEY: what is wrong, what is expected" in
 * `errors`. Returns 0; -EINVAL when there was one; -ENOMEM. `config` must outlive the result.
 */
int access_compile(const struct config *config, FILE *errors, struct access **ret_access);

/*
 * Whether `who` may do all of `methods` (enum access_method, at least one) on `path`: as libcoap spells it,
 * percent-encoded and without a slash in front; empty for the root. `ret_rule` may be NULL; else it is set to
 * the rule that decided, NULL when none did. Cheap enough for every request; not thread-safe.
 */
enum access_answer access_decide(const struct access *access, const struct identity *who, struct span path,
                                 unsigned methods, const struct conf_access_rule **ret_rule);

/* The bit of "GET" and so on, of all for "*"; 0: no such method. */
unsigned access_method_by_name(const char *name);

/* The names of the bits in `methods`, with commas: "PUT,CREATE". Returns `out`. */
const char *access_method_names(unsigned methods, char *out, size_t size);

/* The form of a rule's strings, for the config: what would have been expected, or NULL when it is good. */
const char *access_check_path(const char *path);
const char *access_check_method(const char *name);
const char *access_check_subject(const char *subject);

/*
 * Whether some rule lets a peer without any key write (ACCESS_WRITES), the first one in *ret_rule; or there is no rule
 * at all, and *ret_rule is as it was.
 */
bool access_strangers_may_write(const struct access *access, const struct conf_access_rule **ret_rule);

/*
 * A rule before the one at `index` that decides where that one would, the last of those which together leave it
 * nothing to decide; NULL: it decides something, or there are too many rules to compare each with each.
 */
const struct conf_access_rule *access_covered_by(const struct access *access, size_t index);

/* Whether some rule lets anybody create resources. */
bool access_somebody_may_create(const struct access *access);

/* Accepts NULL. */
void access_free(struct access *access);

#endif
