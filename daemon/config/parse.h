/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of the configuration as a tree of its keys, ahead of libconfig: to say what is wrong where libconfig knows
 * nothing but "syntax error", and to find what stands in several files.
 */
#ifndef COAPD_CONFIG_PARSE_H
#define COAPD_CONFIG_PARSE_H

#include "config/source.h"

/* KEY = VALUE, by the offsets of its parts in the text. */
struct member {
        struct span name;
        size_t begin, body, body_end, end; /* the body is what stands between the marks of a group or list */
        unsigned line, body_line;          /* of `begin` and of `body`, from 1 */
        char open;                         /* { ( or [ ; 0 for a scalar */
        bool elements;                     /* a list: there are some */
        bool comma;                        /* a list: behind the last one stands a comma */
        bool done;                         /* for who walks the tree */
        struct member *members;            /* of a group */
        size_t n;
};

/*
 * The file as a whole is a group without a name. 0; -EINVAL after errors went to the report; -ENOMEM. Whatever comes
 * back, the caller frees it with members_free().
 */
int parse_source(const struct source *source, struct report *report, struct member *ret_root);

void members_free(struct member *group);

#endif
