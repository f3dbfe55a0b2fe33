/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CoRE link format (RFC 6690, 2), read strictly and without memory: a document is walked link by link and
 * parameter by parameter, and everything points into it.
 */
#ifndef COAPD_RESOURCES_LINK_FORMAT_H
#define COAPD_RESOURCES_LINK_FORMAT_H

#include "base/buf.h"

struct link_value {
        struct span target;     /* between "<" and ">", as it stands there */
        struct span parameters; /* all of them, from the first ";" on */
};

struct link_parameter {
        struct span name;
        bool has_value;
        bool quoted;
        struct span value; /* without the quotes, its escapes as they stand there */
        struct span whole; /* `name="value"` */
};

/*
 * The next link of a document; `rest` begins as all of it and moves on. 1: there is one, its parameters are in order;
 * 0: the end; -EINVAL: no link-format from `rest` on.
 */
int link_next(struct span *rest, struct link_value *ret_link);

/* The same for the parameters of a link. */
int link_parameter_next(struct span *rest, struct link_parameter *ret_parameter);

/* The value without its escapes; in `scratch` where it has any. */
struct span link_parameter_value(const struct link_parameter *parameter, struct buf *scratch);

/* Whether the bytes may be the name of a parameter, but for the "*" of an ext-value (RFC 6690, 2: parmname). */
bool link_is_parameter_name(struct span name);

/* A quoted-string; control characters are left out. */
void link_append_quoted(struct buf *out, struct span value);

/* Whether a value fits a filter (RFC 6690, 4.1): a pattern may end in '*', which stands for anything. */
bool link_matches(struct span value, struct span pattern);
/* The same for one of several values, with blanks between them. */
bool link_matches_word(struct span words, struct span pattern);

#endif
