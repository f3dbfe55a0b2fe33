/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forms that values of the configuration have, for `check` in a schema row: NULL when the value is good,
 * else what would have been expected.
 */
#ifndef COAPD_CONFIG_SYNTAX_H
#define COAPD_CONFIG_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

const char *syntax_uri(const char *value);
const char *syntax_multicast(const char *value); /* "GROUP" or "GROUP%INTERFACE" */
const char *syntax_path(const char *value);      /* of a resource: "sensors/1" */
const char *syntax_prefix(const char *value);    /* the same, or "" for all */
const char *syntax_title(const char *value);
const char *syntax_link_value(const char *value); /* one value of `rt` or `if` */
const char *syntax_server_name(const char *value);
const char *syntax_origin(const char *value); /* "SCHEME://HOST", "SCHEME://HOST:PORT", "null" or "*" */
const char *syntax_host(const char *value);   /* "HOST" or "HOST:PORT" */
const char *syntax_oscore_id(const char *value);
const char *syntax_id_context(const char *value);
const char *syntax_hex(const char *value);

/* An address of either family in text; a scope behind `%` goes to `scope` (of IF_NAMESIZE bytes). */
struct address {
        int family;
        uint8_t bytes[16];
        char scope[16];
};
bool address_parse(const char *text, struct address *ret_address);
bool address_is_multicast(const struct address *address);

#endif
