/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How libcoap takes Q-Block1 and Q-Block2 (RFC 9177), for which resources/qblock.c takes them out of datagrams before
 * libcoap sees them: when one of these fails after an upgrade of libcoap, that may not be needed any longer.
 */
#include "persist_rig.h"

#include <malloc.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/util.h"

/* Set where AddressSanitizer is there to count. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

enum { BLOCK = 16, MORE = 8, BAD_OPTION = 0x82, CONTENT = 0x45, CLAIMED = 8 << 20 };

struct facts {
        struct rig rig;
        int client;
        uint16_t mid;
};

static void begin(struct facts *f, uint8_t mode)
{
        rig_context(&f->rig, "127.0.0.1");
        coap_resource_set_userdata(rig_resource(&f->rig, "a"), &f->rig);
        coap_register_request_handler(rig_resource(&f->rig, "a"), COAP_REQUEST_PUT, rig_answer);
        coap_context_set_block_mode(f->rig.context, mode);
}

static void add_option(struct buf *out, unsigned *last, unsigned number, uint32_t value)
{
        uint8_t bytes[4], option[16];
        unsigned n = coap_encode_var_safe(bytes, sizeof bytes, value);

        buf_append(out, option, coap_opt_encode(option, sizeof option, (uint16_t)(number - *last), bytes, n));
        *last = number;
}

/* The code of the answer to a PUT of the first block of a body of `size1`; 0: there is none. */
static uint8_t put_first_block(struct facts *f, unsigned number, uint32_t size1)
{
        CLEANUP(buf_deinit) struct buf out = { 0 };
        uint8_t answer[256];
        unsigned last = 0;
        ssize_t n;

        f->mid++;
        buf_append(&out,
                   (uint8_t[]){ 0x41, COAP_REQUEST_CODE_PUT, (uint8_t)(f->mid >> 8), (uint8_t)f->mid, 't' },
                   5);
        add_option(&out, &last, COAP_OPTION_URI_PATH, 'a');
        add_option(&out, &last, number, MORE);
        add_option(&out, &last, COAP_OPTION_SIZE1, size1);
        add_option(&out, &last, COAP_OPTION_RTAG, 1);
        buf_append_byte(&out, 0xff);
        buf_append(&out, "0123456789abcdef", BLOCK);
        assert_int_equal(send(f->client, out.p, out.n, 0), out.n);
        for (int i = 0; i < 50; i++) {
                coap_io_process(f->rig.context, 2);
                n = recv(f->client, answer, sizeof answer, MSG_DONTWAIT);
                if (n >= 4)
                        return answer[1];
        }
        return 0;
}

/* To know the options is not enough, and neither is the mode that is named after them. */
static void they_come_with_libcoap_s_own_bodies_alone(void **state)
{
        static const uint8_t modes[] = { 0, COAP_BLOCK_TRY_Q_BLOCK };
        struct facts *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                begin(f, modes[i]);
                coap_register_option(f->rig.context, COAP_OPTION_Q_BLOCK1);
                coap_register_option(f->rig.context, COAP_OPTION_Q_BLOCK2);
                assert_int_equal(put_first_block(f, COAP_OPTION_Q_BLOCK1, 100), BAD_OPTION);
                assert_int_equal(put_first_block(f, COAP_OPTION_Q_BLOCK2, 100), BAD_OPTION);
                assert_int_equal(f->rig.handled, 0);
                rig_stop(&f->rig);
        }
        begin(f, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_TRY_Q_BLOCK);
        assert_int_not_equal(put_first_block(f, COAP_OPTION_Q_BLOCK1, 100), BAD_OPTION);
        rig_stop(&f->rig);
}

/* Then the handler does not hear of the parts of any body, of whatever options: nobody else can keep to limits. */
static void with_them_all_bodies_are_libcoap_s(void **state)
{
        struct facts *f = *state;

        begin(f, 0);
        assert_int_equal(put_first_block(f, COAP_OPTION_BLOCK1, 100), CONTENT);
        assert_int_equal(f->rig.handled, 1);
        rig_stop(&f->rig);
        begin(f, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY | COAP_BLOCK_TRY_Q_BLOCK);
        assert_int_not_equal(put_first_block(f, COAP_OPTION_BLOCK1, 100), CONTENT);
        assert_int_not_equal(put_first_block(f, COAP_OPTION_Q_BLOCK1, 100), CONTENT);
        assert_int_equal(f->rig.handled, 0);
        rig_stop(&f->rig);
}

static size_t allocated(void)
{
        struct mallinfo2 info = mallinfo2();

        return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                       : info.uordblks + info.hblkhd;
}

/* And their memory is taken by what the first block claims that there will be. */
static void a_claim_takes_memory(void **state)
{
        struct facts *f = *state;
        size_t before;

        begin(f, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY | COAP_BLOCK_TRY_Q_BLOCK);
        before = allocated();
        put_first_block(f, COAP_OPTION_Q_BLOCK1, CLAIMED);
        assert_in_range(allocated() - before, CLAIMED, CLAIMED + (CLAIMED >> 3));
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(they_come_with_libcoap_s_own_bodies_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(with_them_all_bodies_are_libcoap_s, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_claim_takes_memory, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
