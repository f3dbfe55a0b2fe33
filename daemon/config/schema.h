/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a configuration key is. One row describes a key completely: it drives the parser, the default, the
 * error with FILE:LINE, the reload diff, secret masking, the sample file and the manual page.
 *
 * Tables of rows live in config/schema.c; a resource kind brings its own rows along (resources/kind.h), so
 * that a kind stays one file.
 */
#ifndef COAPD_CONFIG_SCHEMA_H
#define COAPD_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

/* Where a value stands in the config; `file` belongs to the config. */
struct conf_origin {
        const char *file;
        unsigned line;
};

/* The C type that a row's `offset` points at. */
enum conf_type {
        CONF_BOOL,    /* bool */
        CONF_INT,     /* long long, within [min, max] */
        CONF_STRING,  /* char *, NULL when absent and without default */
        CONF_CHOICE,  /* int, the index of the word in `choices` */
        CONF_STRINGS, /* struct conf_strings; an array or list of strings, or one string alone */
        CONF_GROUP,   /* the group's struct, embedded */
        CONF_LIST,    /* struct conf_list of the group's structs */
};

struct conf_strings {
        char **v;
        size_t n;
};

struct conf_list {
        void *v; /* n structs of group->size bytes */
        size_t n;
};

enum conf_flag {
        CONF_REQUIRED = 1 << 0,
        CONF_SECRET = 1 << 1,   /* never printed, wiped when freed */
        CONF_RELOAD = 1 << 2,   /* SIGHUP applies a change; without it a change asks for a restart */
        CONF_KEY_FILE = 1 << 3, /* a file that must be readable; a private one not by others */
        CONF_EMPTY_OK = 1 << 4, /* a string may be empty */
        CONF_PRIVATE = 1 << 5,  /* with CONF_KEY_FILE: what the file holds is secret */
        CONF_PATH = 1 << 6, /* of a file; a relative one counts from the folder of the config that names it */
        CONF_NAME = 1 << 7, /* tells the groups of a list apart */
        CONF_KIND = 1 << 8, /* CONF_STRING: the name of a conf_variant, whose rows this group has, too */
        CONF_ENGINE = 1 << 9,   /* CONF_STRING: one of conf_vocabulary's engines, the first is the default */
        CONF_SAMPLE = 1 << 10,  /* the sample file sets it to its example, others it only mentions */
        CONF_NONE_OK = 1 << 11, /* CONF_STRINGS: there may be none in a list that is given */
        CONF_TOKEN = 1 << 13,   /* with CONF_KEY_FILE: a PKCS#11 URI (RFC 7512) may stand in for the file */
        CONF_ADDABLE =
                1 << 12, /* CONF_LIST: a reload opens new groups, but closes old ones only with a restart */
};

struct conf_group;

struct conf_row {
        const char *key;
        enum conf_type type;
        size_t offset;
        const char *fallback;       /* the default as it would be written in the file; NULL: none */
        long long min, max;         /* CONF_INT: the value. Strings: the length in bytes, when max > 0 */
        const char *const *choices; /* CONF_CHOICE: NULL-terminated */
        unsigned flags;             /* enum conf_flag */
        const char *unit;           /* "seconds", "bytes"; NULL: none */
        /*
         * Further checks of a string (of each of CONF_STRINGS). Returns NULL when it is good, or what would
         * have been expected: "a path such as sensors/1".
         */
        const char *(*check)(const char *value);
        const struct conf_group *group; /* CONF_GROUP, CONF_LIST */
        const char *doc;                /* whole sentences, for the manual page and the sample */
        const char *example;            /* as it would be written in the file; for keys without a default */
};

struct conf_group {
        const char *name;
        size_t size; /* of the struct; a struct in a CONF_LIST begins with a struct conf_origin */
        const struct conf_row *rows;
        size_t n_rows;
        const char *doc;
        size_t fields; /* of a group with a CONF_KIND: the offset of the pointer to the variant's struct */
};

/*
 * Groups whose remaining rows are chosen by the value of one key: `kind = "files"` in `resources`. The table
 * is handed to config_load() by main(), so that config knows no resource kind by name.
 */
struct conf_variant {
        const char *name;
        const struct conf_row *rows; /* offsets into a struct of `size` bytes of the variant's own */
        size_t n_rows;
        size_t size;
        const char *doc;
        /*
         * Rules between the rows. Returns NULL when all is well, or what is wrong and what is expected, and
         * may name the member of `fields` that it is about. Values whose rows were not good may be missing.
         */
        const char *(*check)(const void *fields, const void **ret_member);
        /*
         * A path beside its own that a resource with these fields serves, and the member that asks for it; NULL: there
         * is none.
         */
        const char *(*also_at)(const void *fields, const void **ret_member);
};

#endif
