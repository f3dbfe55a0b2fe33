/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts of libcoap that keeping state leans on, a test each: when one fails after an upgrade of libcoap, the
 * comment says what of coapd rests on it.
 */
#include "persist_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/util.h"
#include "persist/address.h"
#include "persist/observation.h"

/* What the tracking functions were called with. */
struct seen {
        size_t added, deleted, tracked, created, removed;
        uint32_t number;
        coap_subscription_t *subscription;
        const coap_session_t *session;
        coap_address_t listen;
        coap_addr_tuple_t addresses;
        uint8_t request[512];
        size_t request_n;
        bool oscore;
        int confirmable;
};

static int on_added(coap_session_t *session, coap_subscription_t *subscription, coap_proto_t proto,
                    coap_address_t *listen, coap_addr_tuple_t *addresses, coap_bin_const_t *request,
                    coap_bin_const_t *oscore, void *user)
{
        struct seen *seen = user;

        assert_int_equal(proto, COAP_PROTO_UDP);
        seen->added++;
        seen->session = session;
        seen->subscription = subscription;
        memcpy(&seen->listen, listen, sizeof *listen);
        memcpy(&seen->addresses, addresses, sizeof *addresses);
        assert_in_range(request->length, 4, sizeof seen->request);
        memcpy(seen->request, request->s, request->length);
        seen->request_n = request->length;
        seen->oscore = oscore;
        return 1;
}

static int on_deleted(coap_session_t *session, coap_subscription_t *subscription, void *user)
{
        struct seen *seen = user;

        (void)session;
        (void)subscription;
        seen->deleted++;
        return 1;
}

static int on_tracked(coap_context_t *context, coap_str_const_t *path, uint32_t number, void *user)
{
        struct seen *seen = user;

        (void)context;
        (void)path;
        seen->tracked++;
        seen->number = number;
        return 1;
}

static int on_created(coap_session_t *session, coap_str_const_t *path, coap_bin_const_t *request, void *user)
{
        struct seen *seen = user;

        (void)session;
        (void)path;
        (void)request;
        seen->created++;
        return 1;
}

static int on_removed(coap_context_t *context, coap_str_const_t *path, void *user)
{
        struct seen *seen = user;

        (void)context;
        (void)path;
        seen->removed++;
        return 1;
}

struct facts {
        struct rig rig;
        struct seen seen;
        int client;
};

enum { SAVE_FREQUENCY = 5 };

static void begin(struct facts *f, const char *listen)
{
        rig_context(&f->rig, listen);
        memset(&f->seen, 0, sizeof f->seen);
        coap_persist_track_funcs(f->rig.context, on_added, on_deleted, on_tracked, on_created, on_removed,
                                 SAVE_FREQUENCY, &f->seen);
}

static void finish(struct facts *f)
{
        coap_persist_stop(f->rig.context);
        rig_stop(&f->rig);
}

static int set_up(void **state)
{
        int r = rig_set_up_in(state, sizeof(struct facts));
        struct facts *f = *state;

        f->client = rig_client(&f->rig, "127.0.0.1");
        return r;
}

static int tear_down(void **state)
{
        const struct facts *f = *state;

        close(f->client);
        return rig_tear_down(state);
}

/* observation.c writes addresses as text and must get back every byte that libcoap compares. */
static void addresses_come_back_byte_for_byte(void **state)
{
        static const char *const places[][2] = {
                { "127.0.0.1", "127.0.0.1" }, { "0.0.0.0", "127.0.0.1" }, { "::1", "::1" }, { "::", "::1" },
                { "::", "127.0.0.1" },
        };
        struct facts *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                int client = rig_client(&f->rig, places[i][1]);
                char text[ADDRESS_TEXT];
                coap_address_t again;

                begin(f, places[i][0]);
                rig_observe(&f->rig, client, "a", "t");
                assert_int_equal(f->seen.added, 1);
                assert_true(address_to_text(&f->seen.listen, text));
                assert_true(address_from_text(text, f->rig.port, &again));
                assert_memory_equal(&again, &f->seen.listen, sizeof again);
                assert_true(address_to_text(&f->seen.addresses.remote, text));
                assert_true(
                        address_from_text(text, coap_address_get_port(&f->seen.addresses.remote), &again));
                assert_memory_equal(&again, &f->seen.addresses.remote, sizeof again);
                assert_true(address_to_text(&f->seen.addresses.local, text));
                assert_true(address_from_text(text, coap_address_get_port(&f->seen.addresses.local), &again));
                assert_memory_equal(&again, &f->seen.addresses.local, sizeof again);
                finish(f);
                close(client);
        }
}

static coap_subscription_t *add(struct facts *f, const coap_address_t *listen)
{
        coap_bin_const_t request = { f->seen.request_n, f->seen.request };

        return coap_persist_observe_add(f->rig.context, COAP_PROTO_UDP, listen, &f->seen.addresses, &request,
                                        NULL);
}

/* sqlite_restore.c learns from the tracking function which subscription a row became. */
static void observe_add_tells_the_tracking_function(void **state)
{
        struct facts *f = *state;
        coap_subscription_t *subscription;
        coap_address_t listen;

        begin(f, "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "tok");
        listen = f->seen.listen;
        finish(f);
        rig_context(&f->rig, "127.0.0.1");
        f->seen.added = 0;
        coap_persist_track_funcs(f->rig.context, on_added, on_deleted, NULL, NULL, NULL, 1, &f->seen);
        subscription = add(f, &listen);
        assert_non_null(subscription);
        assert_int_equal(f->seen.added, 1);
        assert_ptr_equal(f->seen.subscription, subscription);
        /* A second time it is the same one, and nobody is told: sqlite_restore.c drops the row. */
        assert_ptr_equal(add(f, &listen), subscription);
        assert_int_equal(f->seen.added, 1);
        /* The session is the one that the client's packets are matched with. */
        rig_observe(&f->rig, f->client, "b", "tok");
        assert_int_equal(f->seen.added, 2);
        rig_notify(&f->rig, "a");
        assert_in_range(rig_next(&f->rig, f->client, "tok"), 0, 0xffffff);
        finish(f);
}

/* sqlite_restore.c tries several endpoints one after the other: a miss must leave nothing behind. */
static void observe_add_without_its_endpoint_does_nothing(void **state)
{
        struct facts *f = *state;
        coap_address_t elsewhere;

        begin(f, "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "tok");
        rig_cancel(&f->rig, f->client, "a", "tok");
        assert_true(address_from_text("127.0.0.2", f->rig.port, &elsewhere));
        assert_null(add(f, &elsewhere));
        assert_int_equal(f->seen.added, 1);
        finish(f);
}

/* The stop comes before coap_free_context(): else the store would be emptied, and every observer told 4.04. */
static void stop_keeps_the_end_quiet(void **state)
{
        struct facts *f = *state;
        uint8_t data[64];

        for (int stopped = 0; stopped <= 1; stopped++) {
                begin(f, "127.0.0.1");
                rig_observe(&f->rig, f->client, "a", "tok");
                if (stopped)
                        coap_persist_stop(f->rig.context);
                rig_stop(&f->rig);
                assert_int_equal(f->seen.deleted, !stopped);
                assert_int_equal(f->seen.removed > 0, !stopped);
                assert_int_equal(recv(f->client, data, sizeof data, 0) > 0, !stopped);
        }
}

/* Dynamic resources are written by the handlers of coapd, because libcoap does not tell of them. */
static void nobody_tells_of_dynamic_resources(void **state)
{
        static const uint8_t create[] = { 0xb1, 'x' };
        struct facts *f = *state;

        begin(f, "127.0.0.1");
        rig_send(&f->rig, f->client, COAP_REQUEST_CODE_PUT, "p", create, sizeof create);
        assert_non_null(rig_resource(&f->rig, "x"));
        assert_int_equal(f->seen.created, 0);
        coap_delete_resource(f->rig.context, rig_resource(&f->rig, "x"));
        assert_int_equal(f->seen.removed, 1);
        finish(f);
}

/* sqlite_counters.c reserves numbers ahead: at most `save_frequency` leave between two calls. */
static void numbers_are_told_every_so_often(void **state)
{
        struct facts *f = *state;
        uint32_t told;

        begin(f, "127.0.0.1");
        assert_int_equal(rig_observe(&f->rig, f->client, "a", "tok"), 2);
        assert_int_equal(f->seen.tracked, 1);
        assert_int_equal(f->seen.number, 2);
        coap_persist_set_observe_num(rig_resource(&f->rig, "a"), 0xffffff - 2 * SAVE_FREQUENCY);
        told = 0xffffff - 2 * SAVE_FREQUENCY;
        for (int i = 0; i < 10 * SAVE_FREQUENCY; i++) {
                int number;

                rig_notify(&f->rig, "a");
                number = rig_next(&f->rig, f->client, "tok");
                assert_in_range(number, 0, 0xffffff);
                if (f->seen.number % SAVE_FREQUENCY == 0)
                        told = f->seen.number;
                if ((((uint32_t)number - told) & 0xffffff) >= SAVE_FREQUENCY)
                        fail_msg("%d left, and %u was the last one told of", number, told);
        }
        finish(f);
}

/* Restored numbers: the next notification has the one after what was set. */
static void set_number_counts_from_there(void **state)
{
        struct facts *f = *state;

        begin(f, "127.0.0.1");
        coap_persist_set_observe_num(rig_resource(&f->rig, "a"), 1000);
        assert_int_equal(rig_observe(&f->rig, f->client, "a", "tok"), 1000);
        rig_notify(&f->rig, "a");
        assert_int_equal(rig_next(&f->rig, f->client, "tok"), 1001);
        finish(f);
}

/* place.c sets the number of all handles of a path, and libcoap counts on where somebody observes alone. */
static void a_change_counts_where_somebody_observes(void **state)
{
        struct facts *f = *state;
        coap_resource_t *a;

        begin(f, "127.0.0.1");
        a = rig_resource(&f->rig, "a");
        coap_persist_set_observe_num(a, 50);
        assert_int_equal(coap_resource_notify_observers(a, NULL), 0);
        assert_int_equal(rig_observe(&f->rig, f->client, "a", "tok"), 50);
        coap_persist_set_observe_num(a, 60);
        assert_int_equal(coap_resource_notify_observers(a, NULL), 1);
        coap_persist_set_observe_num(a, 61); /* to the same: what leaves has the number of when it leaves */
        assert_int_equal(rig_next(&f->rig, f->client, "tok"), 61);
        finish(f);
}

/*
 * Who owes an acknowledgement is not told that a resource of confirmable notifications is gone, and is when it is
 * deleted as one of others: place.c.
 */
static void the_end_is_told_in_the_other_mode(void **state)
{
        struct facts *f = *state;

        for (int other = 0; other <= 1; other++) {
                coap_resource_t *a;
                uint8_t data[64];
                ssize_t n = 0;
                int left = 0;

                begin(f, "127.0.0.1");
                a = rig_resource(&f->rig, "a");
                rig_observe(&f->rig, f->client, "a", "tok");
                coap_resource_set_mode(a, COAP_RESOURCE_FLAGS_NOTIFY_CON);
                coap_resource_notify_observers(a, NULL);
                rig_pump(&f->rig);
                assert_true(recv(f->client, data, sizeof data, 0) > 4);
                assert_int_equal(data[0] >> 4 & 3, COAP_MESSAGE_CON);
                if (other)
                        coap_resource_set_mode(a, COAP_RESOURCE_FLAGS_NOTIFY_NON);
                coap_delete_resource(NULL, a);
                rig_pump(&f->rig);
                while ((n = recv(f->client, data, sizeof data, 0)) > 4)
                        left += data[1] == 0x84; /* 4.04 */
                assert_int_equal(left, other);
                finish(f);
        }
}

static void on_confirmable_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                               const coap_string_t *query, coap_pdu_t *response)
{
        struct seen *seen = coap_resource_get_userdata(resource);

        (void)session, (void)request, (void)query;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        if (coap_pdu_get_type(response) == COAP_MESSAGE_CON && ++seen->confirmable <= 2)
                coap_pdu_set_type(response, COAP_MESSAGE_NON);
}

/* notify_settle_type(): libcoap asks for it with the sixth, and with each that follows until one is confirmable. */
static void the_handler_says_what_is_confirmable(void **state)
{
        struct facts *f = *state;
        coap_resource_t *a;

        begin(f, "127.0.0.1");
        a = rig_resource(&f->rig, "a");
        rig_observe(&f->rig, f->client, "a", "tok");
        coap_resource_set_userdata(a, &f->seen);
        coap_register_request_handler(a, COAP_REQUEST_GET, on_confirmable_get);
        for (int i = 1; i <= 9; i++) {
                uint8_t data[64];

                rig_notify(&f->rig, "a");
                rig_pump(&f->rig);
                assert_true(recv(f->client, data, sizeof data, 0) > 4);
                assert_int_equal(f->seen.confirmable, i < 6 ? 0 : MIN(i - 5, 3));
                assert_int_equal(data[0] >> 4 & 3, i == 8 ? COAP_MESSAGE_CON : COAP_MESSAGE_NON);
        }
        finish(f);
}

/* One row for each observation: a new token for the same question ends the old one, and that is told. */
static void a_new_token_ends_the_old_observation(void **state)
{
        struct facts *f = *state;

        begin(f, "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "one");
        rig_observe(&f->rig, f->client, "a", "one");
        assert_int_equal(f->seen.added, 1);
        rig_observe(&f->rig, f->client, "a", "two");
        assert_int_equal(f->seen.added, 2);
        assert_int_equal(f->seen.deleted, 1);
        rig_observe(&f->rig, f->client, "b", "two");
        assert_int_equal(f->seen.deleted, 1);
        finish(f);
}

/* The request that is kept is the wire's, header and token included, so that it parses again. */
static void the_request_is_whole(void **state)
{
        static const uint8_t options[] = { 0x60, 0x51, 'a', 0x43, 'x', '=', '1' };
        struct facts *f = *state;
        struct observation observation = { 0 };

        begin(f, "127.0.0.1");
        rig_send(&f->rig, f->client, COAP_REQUEST_CODE_GET, "token", options, sizeof options);
        assert_int_equal(f->seen.request_n, 4 + 5 + sizeof options);
        assert_memory_equal(f->seen.request + 9, options, sizeof options);
        memset(&observation, 0xee, sizeof observation); /* whatever was in there */
        assert_int_equal(observation_from_libcoap(&observation, &f->seen.listen, &f->seen.addresses,
                                                  span_of(f->seen.request, f->seen.request_n),
                                                  (struct span){ 0 }),
                         0);
        assert_string_equal(observation.token_text, "746f6b656e");
        assert_memory_equal(observation.query.p, "x=1", 3);
        observation_deinit(&observation);
        finish(f);
}

/*
 * sqlite_restore.c asks for the OSCORE context first, because this is what happens without one: the observation
 * comes back, and in the clear.
 */
static void an_observer_of_an_unknown_context_would_be_told_in_the_clear(void **state)
{
        static const uint8_t notes[] = { 0x85, 0x41, 'r', 0xf6, 0xf6, 0x41, 1, 0xf6 };
        coap_bin_const_t oscore = { sizeof notes, notes };
        struct facts *f = *state;
        coap_bin_const_t request;
        coap_address_t listen;

        begin(f, "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "tok");
        rig_cancel(&f->rig, f->client, "a", "tok");
        listen = f->seen.listen;
        request = (coap_bin_const_t){ f->seen.request_n, f->seen.request };
        assert_non_null(coap_persist_observe_add(f->rig.context, COAP_PROTO_UDP, &listen, &f->seen.addresses,
                                                 &request, &oscore));
        rig_notify(&f->rig, "a");
        assert_in_range(rig_next(&f->rig, f->client, "tok"), 0, 0xffffff);
        finish(f);
}

/* What the engine libcoap's caveat says, and why both files go together. */
static void its_own_files_keep_the_newest_dynamic_resource_only(void **state)
{
        uint8_t create[] = { 0xb1, '0', 0xff, 'o', 'n', 'e' };
        struct facts *f = *state;
        size_t back = 0;
        char name[2] = "";

        rig_start(&f->rig, "libcoap", "127.0.0.1");
        for (uint8_t c = '0'; c < '5'; c++) {
                create[1] = c;
                rig_send(&f->rig, f->client, COAP_REQUEST_CODE_PUT, "p", create, sizeof create);
        }
        rig_stop(&f->rig);
        rig_start(&f->rig, "libcoap", "127.0.0.1");
        for (char c = '0'; c < '5'; c++) {
                name[0] = c;
                back += rig_resource(&f->rig, name) != NULL;
        }
        assert_int_equal(back, 1);
        assert_non_null(rig_resource(&f->rig, "4"));
}

/* With one of the two configured, the engine keeps neither: libcoap would open the other by a NULL name. */
static void one_file_of_two_is_none(void **state)
{
        struct facts *f = *state;
        struct stat st;

        f->rig.conf.observe_counters = NULL;
        rig_start(&f->rig, "libcoap", "127.0.0.1");
        assert_true(rig_logged(&f->rig, "go together"));
        rig_observe(&f->rig, f->client, "a", "tok");
        coap_delete_resource(f->rig.context, rig_resource(&f->rig, "a"));
        assert_int_not_equal(stat(f->rig.files[0], &st), 0);
        assert_int_equal(stat(f->rig.files[1], &st), 0);
}

/* Each registration writes all of it anew: why the sqlite engine has a row for each. */
static void its_own_observer_file_is_rewritten_each_time(void **state)
{
        struct facts *f = *state;
        struct stat before, after;
        int more = rig_client(&f->rig, "127.0.0.1");

        rig_start(&f->rig, "libcoap", "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "tok");
        assert_int_equal(stat(f->rig.files[1], &before), 0);
        rig_observe(&f->rig, more, "a", "tok");
        assert_int_equal(stat(f->rig.files[1], &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino);
        assert_int_equal(after.st_size, 2 * before.st_size);
        close(more);
}

static void on_replayed(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                        const coap_string_t *query, coap_pdu_t *response)
{
        struct seen *seen = coap_resource_get_userdata(resource);
        static const coap_address_t zeros;
        size_t n = 0;
        const uint8_t *data = NULL;

        (void)query;
        assert_memory_equal(coap_session_get_addr_remote(session), &zeros, sizeof zeros);
        coap_get_data(request, &n, &data);
        assert_int_equal(n, 3);
        memcpy(seen->request, data, n);
        seen->created++;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CREATED);
}

/* Why nobody's rights are looked at while host->replaying() is on; and a value that is as old as its resource. */
static void what_is_replayed_comes_from_nobody(void **state)
{
        static const uint8_t create[] = { 0xb1, 'x', 0xff, 'o', 'l', 'd' },
                             change[] = { 0xb1, 'x', 0xff, 'n', 'e', 'w' };
        struct facts *f = *state;
        coap_resource_t *unknown;

        rig_start(&f->rig, "libcoap", "127.0.0.1");
        rig_send(&f->rig, f->client, COAP_REQUEST_CODE_PUT, "p", create, sizeof create);
        rig_send(&f->rig, f->client, COAP_REQUEST_CODE_PUT, "q", change, sizeof change);
        rig_stop(&f->rig);
        rig_context(&f->rig, "127.0.0.1");
        unknown = coap_resource_unknown_init(NULL);
        coap_register_request_handler(unknown, COAP_REQUEST_PUT, on_replayed);
        coap_resource_set_userdata(unknown, &f->seen);
        coap_add_resource(f->rig.context, unknown);
        f->seen.created = 0;
        assert_int_equal(rig_engine(&f->rig, "libcoap"), 0);
        assert_int_equal(f->seen.created, 1);
        assert_memory_equal(f->seen.request, "old", 3);
}

/* Its numbers go on after a restart, up to a save_frequency further; import_records.c counts on no more. */
static void its_own_counters_are_rounded_up(void **state)
{
        struct facts *f = *state;
        int last = 0, next;

        f->rig.conf.save_frequency = SAVE_FREQUENCY;
        rig_start(&f->rig, "libcoap", "127.0.0.1");
        rig_observe(&f->rig, f->client, "a", "tok");
        for (int i = 0; i < 3 * SAVE_FREQUENCY + 2; i++) {
                rig_notify(&f->rig, "a");
                last = rig_next(&f->rig, f->client, "tok");
                assert_in_range(last, 0, 0xffffff);
        }
        rig_stop(&f->rig);
        rig_start(&f->rig, "libcoap", "127.0.0.1");
        rig_notify(&f->rig, "a");
        next = rig_next(&f->rig, f->client, "tok");
        assert_in_range(next, last + 1, last + SAVE_FREQUENCY + 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(addresses_come_back_byte_for_byte),
                TEST(observe_add_tells_the_tracking_function),
                TEST(observe_add_without_its_endpoint_does_nothing),
                TEST(stop_keeps_the_end_quiet),
                TEST(nobody_tells_of_dynamic_resources),
                TEST(numbers_are_told_every_so_often),
                TEST(set_number_counts_from_there),
                TEST(a_change_counts_where_somebody_observes),
                TEST(the_end_is_told_in_the_other_mode),
                TEST(the_handler_says_what_is_confirmable),
                TEST(a_new_token_ends_the_old_observation),
                TEST(the_request_is_whole),
                TEST(an_observer_of_an_unknown_context_would_be_told_in_the_clear),
                TEST(its_own_files_keep_the_newest_dynamic_resource_only),
                TEST(one_file_of_two_is_none),
                TEST(its_own_observer_file_is_rewritten_each_time),
                TEST(what_is_replayed_comes_from_nobody),
                TEST(its_own_counters_are_rounded_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
