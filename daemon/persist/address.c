/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses between libcoap's struct and text; see address.h. */
#include "persist/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static coap_address_t ipv4(struct in_addr ip, in_port_t port)
{
        coap_address_t address;

        memset(&address, 0, sizeof address);
        address.size = sizeof address.addr.sin;
        address.addr.sin.sin_family = AF_INET;
        address.addr.sin.sin_port = port;
        address.addr.sin.sin_addr = ip;
        return address;
}

static coap_address_t ipv6(const struct in6_addr *ip, in_port_t port, uint32_t scope)
{
        coap_address_t address;

        memset(&address, 0, sizeof address);
        address.size = sizeof address.addr.sin6;
        address.addr.sin6.sin6_family = AF_INET6;
        address.addr.sin6.sin6_port = port;
        address.addr.sin6.sin6_addr = *ip;
        address.addr.sin6.sin6_scope_id = scope;
        return address;
}

/* Three of these for each registration, and inet_ntop() prints with sprintf(). */
static void ipv4_to_text(const struct in_addr *ip, char *out)
{
        const uint8_t *bytes = (const uint8_t *)ip;

        for (size_t i = 0; i < sizeof *ip; i++) {
                unsigned n = bytes[i];

                if (n >= 10) {
                        if (n >= 100)
                                *out++ = (char)('0' + n / 100);
                        *out++ = (char)('0' + n / 10 % 10);
                }
                *out++ = (char)('0' + n % 10);
                *out++ = '.';
        }
        out[-1] = '\0';
}

bool address_to_text(const coap_address_t *address, char out[ADDRESS_TEXT])
{
        const struct sockaddr_in6 *sin6 = &address->addr.sin6;
        char name[IF_NAMESIZE];
        size_t n;

        if (address->addr.sa.sa_family == AF_INET) {
                ipv4_to_text(&address->addr.sin.sin_addr, out);
                return true;
        }
        if (address->addr.sa.sa_family != AF_INET6 ||
            !inet_ntop(AF_INET6, &sin6->sin6_addr, out, INET6_ADDRSTRLEN))
                return false;
        n = strlen(out);
        if (sin6->sin6_scope_id && if_indextoname(sin6->sin6_scope_id, name))
                snprintf(out + n, ADDRESS_TEXT - n, "%%%s", name);
        else if (sin6->sin6_scope_id)
                snprintf(out + n, ADDRESS_TEXT - n, "%%%u", sin6->sin6_scope_id);
        return true;
}

/* An index or a name; the index of an interface may be another after a reboot, its name is not. */
static bool scope_from_text(const char *text, uint32_t *ret_scope)
{
        char *end;
        unsigned long number;
        unsigned index = if_nametoindex(text);

        if (index == 0) {
                number = strtoul(text, &end, 10);
                if (*text < '0' || *text > '9' || *end || number == 0 || number > UINT32_MAX)
                        return false;
                index = (unsigned)number;
        }
        *ret_scope = index;
        return true;
}

bool address_from_text(const char *text, uint16_t port, coap_address_t *ret_address)
{
        char ip[ADDRESS_TEXT];
        const char *percent = strchr(text, '%');
        size_t n = percent ? (size_t)(percent - text) : strlen(text);
        struct in6_addr six;
        struct in_addr four;
        uint32_t scope = 0;

        if (n >= sizeof ip)
                return false;
        memcpy(ip, text, n);
        ip[n] = '\0';
        if (!percent && inet_pton(AF_INET, ip, &four) == 1) {
                *ret_address = ipv4(four, htons(port));
                return true;
        }
        if (inet_pton(AF_INET6, ip, &six) != 1 || (percent && !scope_from_text(percent + 1, &scope)))
                return false;
        *ret_address = ipv6(&six, htons(port), scope);
        return true;
}

bool address_as_ipv4(const coap_address_t *address, coap_address_t *ret_address)
{
        const struct sockaddr_in6 *sin6 = &address->addr.sin6;
        struct in_addr ip;

        if (address->addr.sa.sa_family == AF_INET) {
                *ret_address = *address;
                return true;
        }
        if (address->addr.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr))
                return false;
        memcpy(&ip, sin6->sin6_addr.s6_addr + 12, sizeof ip);
        *ret_address = ipv4(ip, sin6->sin6_port);
        return true;
}

bool address_as_mapped(const coap_address_t *address, coap_address_t *ret_address)
{
        struct in6_addr ip = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
        coap_address_t four;

        if (!address_as_ipv4(address, &four))
                return false;
        memcpy(ip.s6_addr + 12, &four.addr.sin.sin_addr, 4);
        *ret_address = ipv6(&ip, four.addr.sin.sin_port, 0);
        return true;
}

void address_any(const coap_address_t *address, coap_address_t *ret_address)
{
        if (address->addr.sa.sa_family == AF_INET)
                *ret_address = ipv4((struct in_addr){ INADDR_ANY }, address->addr.sin.sin_port);
        else
                *ret_address = ipv6(&in6addr_any, address->addr.sin6.sin6_port, 0);
}
