/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libcoap writes of each WebSocket header, for a log that hardly anybody reads.
 *
 * Before it looks at the level of its log it formats every byte of the header with snprintf(" %02x"), which took a
 * quarter of the instructions of a GET over WebSocket. That one format is written by hand here; any other goes to libc.
 * As with the calls of sockets.h the dynamic linker gives libcoap the executable's function before libc's.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_LOG_H
#define COAPD_ENDPOINTS_WEBSOCKET_LOG_H

#include <stddef.h>

/* snprintf() under the name that it has in libc where the compiler knew the size of the buffer. */
__attribute__((format(printf, 5, 6))) int websocket_log_snprintf(char *to, size_t n, int flag, size_t size,
                                                                 const char *format,
                                                                 ...) __asm__("__snprintf_chk");

#endif
