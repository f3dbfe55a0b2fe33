/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subjects are normalised once, when they are added: hex digits to lower case, addresses to masked IPv6
 * bytes, attribute names of certificates to upper case. A certificate subject of one part is a key of the
 * table like any other; one of several parts is kept in a list of its rule.
 */
#include "security/subjects.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "security/subject_keys.h"

#define ADDRESS_BITS 128
#define MAPPED_BITS 96 /* in front of an IPv4 address */

struct rule {
        bool anyone, authenticated;
        bool kinds[IDENTITY_OSCORE + 1];          /* "psk:*" and so on */
        uint32_t prefixes[ADDRESS_BITS / 32 + 1]; /* bit set of the lengths among its net: subjects */
        struct span *compounds;                   /* "CN=ops,O=Example" */
        size_t n_compounds;
};

struct subjects {
        struct rule *rules;
        size_t n_rules;
        struct subject_keys keys;
};

struct subjects *subjects_new(size_t n_rules)
{
        struct subjects *subjects = calloc(1, sizeof(*subjects));

        if (!subjects)
                return NULL;
        subjects->n_rules = n_rules;
        subjects->rules = calloc(n_rules ? n_rules : 1, sizeof(*subjects->rules));
        if (!subjects->rules) {
                free(subjects);
                return NULL;
        }
        return subjects;
}

void subjects_free(struct subjects *subjects)
{
        if (!subjects)
                return;
        for (size_t i = 0; i < subjects->n_rules; i++) {
                struct rule *rule = &subjects->rules[i];

                for (size_t k = 0; k < rule->n_compounds; k++)
                        free((void *)rule->compounds[k].p);
                free(rule->compounds);
        }
        subject_keys_deinit(&subjects->keys);
        free(subjects->rules);
        free(subjects);
}

static void mask_address(uint8_t address[16], unsigned bits)
{
        for (unsigned i = 0; i < 16; i++) {
                unsigned left = bits > 8 * i ? bits - 8 * i : 0;

                address[i] &= left >= 8 ? 0xff : (uint8_t)(0xff00u >> left);
        }
}

static int add_net(struct subjects *subjects, uint32_t rule, const char *text, const char **ret_expected)
{
        char host[INET6_ADDRSTRLEN];
        const char *slash = strchr(text, '/');
        size_t n = slash ? (size_t)(slash - text) : strlen(text);
        uint8_t address[16] = { [10] = 0xff, [11] = 0xff };
        unsigned long bits, base = 0;
        char *end = NULL;

        *ret_expected = "a network such as \"net:10.0.0.0/8\" or \"net:2001:db8::/32\"";
        if (n >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, n);
        host[n] = '\0';
        if (inet_pton(AF_INET, host, address + 12) == 1)
                base = MAPPED_BITS;
        else if (inet_pton(AF_INET6, host, address) != 1)
                return -EINVAL;
        bits = ADDRESS_BITS - base;
        if (slash) {
                if (!isdigit((unsigned char)slash[1]))
                        return -EINVAL;
                bits = strtoul(slash + 1, &end, 10);
                if (*end || bits > ADDRESS_BITS - base)
                        return -EINVAL;
        }
        bits += base;
        mask_address(address, (unsigned)bits);
        subjects->rules[rule].prefixes[bits / 32] |= 1u << bits % 32;
        return subject_keys_add(&subjects->keys, rule, SUBJECT_NET, (uint8_t)bits,
                                span_of(address, sizeof(address)));
}

static int add_hex(struct subjects *subjects, uint32_t rule, enum subject_kind kind, const char *text,
                   const char **ret_expected)
{
        char lower[64];
        size_t n = strlen(text);

        *ret_expected = kind == SUBJECT_RPK ? "\"rpk:\" and the SHA-256 of the public key, 64 hex digits"
                                            : "\"oscore:\" and a recipient id, at most 14 hex digits";
        if (kind == SUBJECT_RPK ? n != 64 : n > 14 || n % 2)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                if (!isxdigit((unsigned char)text[i]))
                        return -EINVAL;
                lower[i] = (char)tolower((unsigned char)text[i]);
        }
        return subject_keys_add(&subjects->keys, rule, kind, 0, span_of(lower, n));
}

/* Whether the comma divides: RFC 4514, 2.4; a backslash may stand before it that is escaped itself. */
static bool divides(const char *text, size_t comma)
{
        size_t n = 0;

        while (n < comma && text[comma - 1 - n] == '\\')
                n++;
        return n % 2 == 0;
}

/* Upper case for what stands in front of '=' in each part; false when a part has no '=' or nothing around it.
 */
static bool normalise_parts(char *text)
{
        bool name = true;

        for (char *c = text; *c; c++) {
                if (name && *c == '=') {
                        if (c == text || c[-1] == ',' || !c[1] || c[1] == ',')
                                return false;
                        name = false;
                } else if (*c == ',' && c > text && divides(text, (size_t)(c - text))) {
                        if (name)
                                return false;
                        name = true;
                } else if (name) {
                        *c = (char)toupper((unsigned char)*c);
                }
        }
        return !name;
}

static int add_cert(struct subjects *subjects, uint32_t rule, const char *text, const char **ret_expected)
{
        CLEANUP(freep) char *copy = strdup(text);
        struct rule *r = &subjects->rules[rule];
        struct span *compounds;

        *ret_expected = "\"cert:\" and parts of the subject such as \"CN=ops\" or \"CN=ops,O=Example\"";
        if (!copy)
                return -ENOMEM;
        if (!normalise_parts(copy))
                return -EINVAL;
        if (!strchr(copy, ','))
                return subject_keys_add(&subjects->keys, rule, SUBJECT_CERT, 0, span_of_string(copy));
        compounds = reallocarray(r->compounds, r->n_compounds + 1, sizeof(*compounds));
        if (!compounds)
                return -ENOMEM;
        r->compounds = compounds;
        compounds[r->n_compounds++] = span_of_string(TAKE(copy));
        return 0;
}

int subjects_add(struct subjects *subjects, uint32_t rule, const char *text, const char **ret_expected)
{
        struct rule *r = &subjects->rules[rule];
        enum identity_kind kind;
        const char *name;

        *ret_expected = "anyone, authenticated, psk:, cert:, rpk:, oscore: or net: and a name";
        if (strcmp(text, "anyone") == 0) {
                r->anyone = true;
                return 0;
        }
        if (strcmp(text, "authenticated") == 0) {
                r->authenticated = true;
                return 0;
        }
        if (strncmp(text, "net:", 4) == 0)
                return add_net(subjects, rule, text + 4, ret_expected);
        kind = identity_kind_of(text, &name);
        if (kind == IDENTITY_NONE)
                return -EINVAL;
        if (strcmp(name, "*") == 0) {
                r->kinds[kind] = true;
                return 0;
        }
        if (kind == IDENTITY_PSK)
                return *name ? subject_keys_add(&subjects->keys, rule, SUBJECT_PSK, 0, span_of_string(name))
                             : -EINVAL;
        if (kind == IDENTITY_CERT)
                return add_cert(subjects, rule, name, ret_expected);
        return add_hex(subjects, rule, kind == IDENTITY_RPK ? SUBJECT_RPK : SUBJECT_OSCORE, name,
                       ret_expected);
}

static bool has_name(const struct identity *who, struct span name)
{
        for (size_t i = 0; i < who->n_names; i++) {
                if (span_equal(who->names[i], name))
                        return true;
        }
        return false;
}

static bool has_all_parts(const struct identity *who, struct span compound)
{
        size_t start = 0;

        for (size_t i = 0; i <= compound.n; i++) {
                if (i < compound.n && (compound.p[i] != ',' || !divides((const char *)compound.p, i)))
                        continue;
                if (!has_name(who, span_of(compound.p + start, i - start)))
                        return false;
                start = i + 1;
        }
        return true;
}

static bool have_certificate(const struct subjects *subjects, uint32_t rule, const struct identity *who)
{
        const struct rule *r = &subjects->rules[rule];

        for (size_t i = 0; i < who->n_names; i++) {
                if (subject_keys_have(&subjects->keys, rule, SUBJECT_CERT, 0, who->names[i]))
                        return true;
        }
        for (size_t i = 0; i < r->n_compounds; i++) {
                if (has_all_parts(who, r->compounds[i]))
                        return true;
        }
        return false;
}

static bool have_address(const struct subjects *subjects, uint32_t rule, const struct identity *who)
{
        const struct rule *r = &subjects->rules[rule];

        for (unsigned word = 0; word < ARRAY_LEN(r->prefixes); word++) {
                for (uint32_t left = r->prefixes[word]; left; left &= left - 1) {
                        unsigned bits = 32 * word + (unsigned)__builtin_ctz(left);
                        uint8_t address[16];

                        memcpy(address, who->address, sizeof(address));
                        mask_address(address, bits);
                        if (subject_keys_have(&subjects->keys, rule, SUBJECT_NET, (uint8_t)bits,
                                              span_of(address, 16)))
                                return true;
                }
        }
        return false;
}

bool subjects_have(const struct subjects *subjects, uint32_t rule, const struct identity *who)
{
        const struct rule *r = &subjects->rules[rule];

        if (r->anyone || (who->kind != IDENTITY_NONE && (r->authenticated || r->kinds[who->kind])))
                return true;
        if (who->has_address && have_address(subjects, rule, who))
                return true;
        switch (who->kind) {
        case IDENTITY_NONE:
                return false;
        case IDENTITY_PSK:
                return subject_keys_have(&subjects->keys, rule, SUBJECT_PSK, 0, who->name);
        case IDENTITY_CERT:
                return have_certificate(subjects, rule, who);
        case IDENTITY_RPK:
                return subject_keys_have(&subjects->keys, rule, SUBJECT_RPK, 0, who->name);
        case IDENTITY_OSCORE:
                return subject_keys_have(&subjects->keys, rule, SUBJECT_OSCORE, 0, who->name);
        }
        return false;
}

bool subjects_have_strangers(const struct subjects *subjects, uint32_t rule)
{
        const struct rule *r = &subjects->rules[rule];

        for (unsigned word = 0; word < ARRAY_LEN(r->prefixes); word++) {
                if (r->prefixes[word])
                        return true;
        }
        return r->anyone;
}
