/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of which OSCORE peer has begun an observation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "security/oscore_internal.h"

/* Of many at one address, so that others are met on the way to it. */
static void an_observer_is_at_its_endpoint(void **state)
{
        struct oscore_endpoint endpoint = { .proto = COAP_PROTO_UDP, .address = { 127, 0, 0, 1 } }, other;
        struct oscore_observers *observers;
        struct oscore_asked asked = { { 1 } };
        struct oscore_recipient recipient;

        (void)state;
        assert_int_equal(oscore_observers_new(&observers), 0);
        for (unsigned port = 0; port <= UINT16_MAX; port += 2) {
                endpoint.port = (uint16_t)port;
                oscore_observers_add(observers, &endpoint, SPAN_LITERAL("t"), &asked, &recipient);
        }
        for (unsigned port = 0; port <= UINT16_MAX; port++) {
                endpoint.port = (uint16_t)port;
                if ((oscore_observers_find(observers, &endpoint, SPAN_LITERAL("t"), &asked) != NULL) !=
                    (port % 2 == 0))
                        fail_msg("port %u", port);
        }
        endpoint.port = 2;
        asked.digest[0] = 2;
        assert_null(oscore_observers_find(observers, &endpoint, SPAN_LITERAL("t"), &asked));
        asked.digest[0] = 1;
        other = endpoint;
        other.proto = COAP_PROTO_DTLS;
        assert_null(oscore_observers_find(observers, &other, SPAN_LITERAL("t"), &asked));
        other = endpoint;
        other.context = (const coap_context_t *)&recipient;
        assert_null(oscore_observers_find(observers, &other, SPAN_LITERAL("t"), &asked));
        oscore_observers_remove_all(observers, &endpoint);
        assert_null(oscore_observers_find(observers, &endpoint, SPAN_LITERAL("t"), &asked));
        endpoint.port = 4;
        assert_ptr_equal(oscore_observers_find(observers, &endpoint, SPAN_LITERAL("t"), &asked), &recipient);
        oscore_observers_free(observers);
}

/* A token that is longer than what is remembered is nobody's, and goes nowhere. */
static void a_long_token_is_not_remembered(void **state)
{
        struct {
                uint8_t most[32];
                size_t more; /* what stands behind the room for it would then be right */
        } token = { { 't' }, sizeof(token) };
        struct span longest = span_of(token.most, sizeof(token.most)),
                    longer = span_of(token.most, sizeof(token));
        struct oscore_endpoint endpoint = { .proto = COAP_PROTO_UDP };
        struct oscore_observers *observers;
        struct oscore_asked asked = { { 1 } };
        struct oscore_recipient recipient;

        (void)state;
        assert_int_equal(oscore_observers_new(&observers), 0);
        oscore_observers_add(observers, &endpoint, longest, &asked, &recipient);
        oscore_observers_add(observers, &endpoint, longer, &asked, &recipient);
        assert_ptr_equal(oscore_observers_find(observers, &endpoint, longest, &asked), &recipient);
        assert_null(oscore_observers_find(observers, &endpoint, longer, &asked));
        oscore_observers_free(observers);
}

/* Beyond the bound the oldest goes. */
static void so_many_observers_are_remembered(void **state)
{
        enum { MOST = 65536 };
        struct oscore_endpoint endpoint = { .proto = COAP_PROTO_UDP };
        struct oscore_observers *observers;
        struct oscore_asked asked = { { 1 } };
        struct oscore_recipient recipient;

        (void)state;
        assert_int_equal(oscore_observers_new(&observers), 0);
        for (unsigned i = 0; i <= MOST; i++) {
                memcpy(endpoint.address, &i, sizeof(i));
                oscore_observers_add(observers, &endpoint, SPAN_LITERAL("t"), &asked, &recipient);
        }
        for (unsigned i = 0; i <= MOST; i++) {
                bool there = i > 0;

                memcpy(endpoint.address, &i, sizeof(i));
                if ((oscore_observers_find(observers, &endpoint, SPAN_LITERAL("t"), &asked) != NULL) != there)
                        fail_msg("%u", i);
        }
        oscore_observers_free(observers);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_observer_is_at_its_endpoint),
                cmocka_unit_test(a_long_token_is_not_remembered),
                cmocka_unit_test(so_many_observers_are_remembered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
