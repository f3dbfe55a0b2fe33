/* SPDX-License-Identifier: BSD-2-Clause */
/* Protected answers in acknowledgements; see piggyback.h. */
#include "endpoints/piggyback.h"

#include "base/clock.h"
#include "base/coap_options.h"
#include "base/shards.h"

enum {
        VERSION = 1,
        TYPE_CON = 0,
        TYPE_ACK = 2,
        CODE_EMPTY = 0,
        CODE_POST = 2, /* RFC 8613, 4.2: all that is protected is one of these two on its outside */
        CODE_FETCH = 5,
        OPTION_OSCORE = 9,
        /* RFC 8613, 6.1 */
        PARTIAL_IV_LENGTH = 7,
};

int piggyback_init(struct piggyback *piggyback, uint64_t seed)
{
        *piggyback = (struct piggyback){ .answers = answers_new(), .seed = seed };
        return piggyback->answers ? 0 : -ENOMEM;
}

void piggyback_deinit(struct piggyback *piggyback)
{
        answers_free(piggyback->answers);
        piggyback->answers = NULL;
}

/* ---------------------------------------------------------------- what a message says */

/* Not so of a record of DTLS. */
static bool is_plain(struct span datagram, unsigned type)
{
        return datagram.n >= COAP_HEADER_SIZE && datagram.p[0] >> 6 == VERSION &&
               (datagram.p[0] >> 4 & 3) == type;
}

static uint16_t message_id_of(struct span datagram)
{
        return (uint16_t)(datagram.p[2] << 8 | datagram.p[3]);
}

static bool find_oscore(struct span datagram, struct span *ret_value)
{
        struct coap_options options;

        if (!coap_options_begin(datagram, &options))
                return false;
        while (options.number < OPTION_OSCORE && coap_options_next(&options, ret_value))
                continue;
        return options.number == OPTION_OSCORE;
}

/* ---------------------------------------------------------------- requests */

static bool is_ours(struct span datagram, struct span *ret_oscore)
{
        return is_plain(datagram, TYPE_CON) && (datagram.p[1] == CODE_POST || datagram.p[1] == CODE_FETCH) &&
               find_oscore(datagram, ret_oscore);
}

/* One without a Partial IV is none. */
static bool make_key(const struct piggyback *piggyback, const struct lane *lane, const struct sockaddr *peer,
                     struct span datagram, struct span oscore, struct answers_key *ret_key)
{
        size_t n = oscore.n > 0 ? oscore.p[0] & PARTIAL_IV_LENGTH : 0;

        if (n == 0 || n >= oscore.n)
                return false;
        *ret_key =
                answers_key(piggyback->answers, lane, peer, span_skip(oscore, 1 + n), oscore.p[n], datagram);
        return true;
}

/* Since this was asked last. */
static bool has_opened(const struct piggyback *piggyback)
{
        return piggyback->has_opened && piggyback->has_opened(piggyback->userdata);
}

bool piggyback_receive(struct piggyback *piggyback, struct lane *lane, const struct msghdr *message, size_t n)
{
        const struct sockaddr *peer = message->msg_name;
        struct span datagram = span_of(message->msg_iov[0].iov_base, n), oscore;
        struct answers_key key;
        struct msghdr *answer;

        if (!is_ours(datagram, &oscore) || !make_key(piggyback, lane, peer, datagram, oscore, &key))
                return false;
        switch (answers_find(piggyback->answers, key, clock_now_ns(), &answer)) {
        case ANSWERS_AGAIN:
                lane_put(lane, answer);
                lane->metrics->duplicates++;
                return true;
        case ANSWERS_ENOUGH:
                return true;
        case ANSWERS_NONE:
                break;
        }
        has_opened(piggyback);
        piggyback->opened = false;
        piggyback->lane = lane;
        piggyback->peer = shards_hash(piggyback->seed, peer);
        piggyback->message_id = message_id_of(datagram);
        piggyback->key = key;
        return false;
}

/* ---------------------------------------------------------------- answers */

static bool acknowledges(const struct piggyback *piggyback, const struct lane *lane,
                         const struct msghdr *message, struct span datagram)
{
        return piggyback->lane == lane && is_plain(datagram, TYPE_ACK) &&
               message_id_of(datagram) == piggyback->message_id &&
               shards_hash(piggyback->seed, message->msg_name) == piggyback->peer;
}

/* Not each time need it be said, nor spelt, that something could not be sent: libcoap finds that critical. */
static void set_holding(struct piggyback *piggyback, bool holding)
{
        if (piggyback->holding == holding)
                return;
        if (holding)
                piggyback->log_level = coap_get_log_level();
        coap_set_log_level(holding ? COAP_LOG_ALERT : piggyback->log_level);
        piggyback->holding = holding;
}

static void let_go(struct piggyback *piggyback)
{
        if (!piggyback->holding)
                return;
        set_holding(piggyback, false);
        lane_put(piggyback->lane, answers_written(piggyback->answers));
        answers_keep(piggyback->answers, clock_now_ns());
}

bool piggyback_send(struct piggyback *piggyback, const struct lane *lane, const struct msghdr *message)
{
        struct span datagram = span_of(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len), oscore;
        uint64_t now;

        if (!piggyback->lane)
                return false;
        if (!acknowledges(piggyback, lane, message, datagram)) {
                let_go(piggyback);
                return false;
        }
        piggyback->opened = piggyback->opened || has_opened(piggyback);
        if (!piggyback->opened)
                return false;
        now = clock_now_ns();
        if (datagram.p[1] == CODE_EMPTY) {
                /* Without room for the answer it is better that libcoap sees to it. */
                set_holding(piggyback, answers_write(piggyback->answers, piggyback->key, message, now));
                return piggyback->holding;
        }
        set_holding(piggyback, false);
        if (find_oscore(datagram, &oscore) && answers_write(piggyback->answers, piggyback->key, message, now))
                answers_keep(piggyback->answers, now);
        piggyback->lane = NULL;
        return false;
}

void piggyback_settle(struct piggyback *piggyback)
{
        if (!piggyback->lane)
                return;
        let_go(piggyback);
        piggyback->lane = NULL;
}

void piggyback_forget(struct piggyback *piggyback)
{
        answers_clear(piggyback->answers);
}
