/* SPDX-License-Identifier: BSD-2-Clause */
/* An snprintf() that is quick with one format; see websocket_log.h. */
#include "endpoints/websocket_log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define INTERPOSED __attribute__((used, visibility("default")))

static int write_byte(char *to, unsigned value)
{
        static const char digits[] = "0123456789abcdef";

        to[0] = ' ';
        to[1] = digits[value >> 4];
        to[2] = digits[value & 15];
        to[3] = '\0';
        return 3;
}

/* For each byte of each header: not worth a call of strcmp(). */
static bool is_format_of_byte(const char *format)
{
        return format[0] == ' ' && format[1] == '%' && format[2] == '0' && format[3] == '2' &&
               format[4] == 'x' && format[5] == '\0';
}

INTERPOSED int websocket_log_snprintf(char *to, size_t n, int flag, size_t size, const char *format, ...)
{
        bool is_hex = n == sizeof " 00" && size >= n && is_format_of_byte(format);
        unsigned value;
        va_list args;
        int r;

        va_start(args, format);
        value = is_hex ? va_arg(args, unsigned) : UINT_MAX;
        va_end(args);
        if (value <= UINT8_MAX)
                return write_byte(to, value);
        va_start(args, format);
        r = __builtin___vsnprintf_chk(to, n, flag, size, format, args);
        va_end(args);
        return r;
}
