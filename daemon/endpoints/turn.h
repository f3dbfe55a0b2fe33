/* SPDX-License-Identifier: BSD-2-Clause */
/* The pump's own structs and what a turn is made of, for pump*.c and turn*.c alone. */
#ifndef COAPD_ENDPOINTS_TURN_H
#define COAPD_ENDPOINTS_TURN_H

#include "endpoints/ahead.h"
#include "endpoints/lane.h"
#include "endpoints/mail.h"
#include "endpoints/piggyback.h"
#include "endpoints/pump.h"
#include "endpoints/route.h"
#include "endpoints/stream_gate.h"
#include "endpoints/tape.h"
#include "endpoints/wake_timer.h"

enum {
        READY_MOST = 48, /* events taken from the kernel at a time */
        AHEAD_MOST = 16, /* and of streams that have been read ahead */
        OTHERS_MOST = READY_MOST + AHEAD_MOST,
};

/* One of libcoap's contexts. */
struct shard {
        struct pump *pump;
        coap_context_t *context;
        int epoll_fd;            /* libcoap's */
        sd_event_source *source; /* of those with streams: all of its epoll set; of the others: their timer */
        struct wake_timer timer;
        struct mail mail;
        unsigned n_others; /* events that are no datagrams */
        bool due;          /* it is on the list of those that have mail */
        bool urgent;       /* libcoap has something to send */
        uint64_t walk;     /* nanoseconds that libcoap's walk takes, about */
};

/* An event that is no datagram: of a stream, a listener, or a timer. */
struct other {
        struct epoll_event event;
        struct shard *shard;
};

/* What accepts connections, for any of the contexts that have streams. */
struct listener {
        int fd;
        void *tag; /* of its events, in the first */
};

struct pump {
        sd_event *event;
        struct metrics *metrics;
        struct metrics uncounted; /* where there are none */
        struct router router;
        struct shard *shard;
        size_t n;
        struct lane **lanes;
        size_t n_lanes;
        struct listener *listeners;
        size_t n_listeners;
        size_t streams; /* the context for new sessions of streams and DTLS; some may be in those before it */
        size_t look_next;    /* which of these is looked at first */
        unsigned generation; /* of the sockets that have lanes */
        struct stream_gate *gate;
        const struct pump_guard *guard; /* NULL: none */
        struct mailroom mailroom;
        struct shard **due; /* those that have mail, or events */
        size_t n_due;
        size_t n_urgent, next_urgent;
        size_t n_touched;      /* timers that are to be set */
        sd_event_source *soon; /* comes back to what is left */
        bool coming_back;

        bool in_turn;
        bool yield;            /* somebody else waits for the end of this turn */
        bool wants_end;        /* somebody has something to send at the end of this turn */
        struct shard *current; /* libcoap is in it; NULL: in none */
        bool over;             /* nothing more is read before libcoap's call ends */
        bool reading;          /* libcoap is at what was read, and not yet at its walk */
        unsigned handled;      /* datagrams in this call */
        unsigned blind;        /* batches since the last question what is ready */
        uint64_t deadline;     /* until then this call may go on */
        uint64_t ended;        /* when it was over */
        struct other others[OTHERS_MOST];
        size_t n_others;
        struct piggyback piggyback;
        struct ahead ahead; /* streams that wait for one more event */
        struct tape tape;
};

/* In pump_lanes.c. Endpoints come with the configuration and with a reload: they are looked for before a turn. */
void pump_adopt(struct pump *pump);

/* The guard's word, for all lanes and streams; what waits in them is discarded if it is no. */
bool pump_may_send(void *pump);

struct lane *turn_lane_of(const struct pump *pump, const void *tag);

/* In turn_read.c: asks the kernel what is ready, and reads it. Whether there was anything. */
bool turn_look(struct pump *pump);

/* Reads from the endpoints that are known to be ready, and sorts by context what there is. */
void turn_read(struct pump *pump);
bool turn_any_is_ready(const struct pump *pump);

/* Hands everything that was read to libcoap, context by context, and goes on while there is more. */
void turn_run(struct pump *pump);

/* The timer of one context has come. */
void turn_run_timer(struct pump *pump, struct shard *shard);

/* One context does what it has to do without a datagram. */
void turn_act(struct pump *pump, struct shard *shard);

void turn_flush(struct pump *pump);

/*
 * In turn_streams.c. An event that is no datagram goes to `others`, of which there must be one free, and its shard
 * has something to do.
 */
void turn_note_stream(struct pump *pump, struct shard *shard, const struct epoll_event *event);

/* Takes those of a shard off again, for its tape. */
void turn_write_streams(struct pump *pump, struct shard *shard);

void turn_make_due(struct pump *pump, struct shard *shard);

/* Which context a datagram of DTLS is for. */
size_t turn_find_session(const struct pump *pump, const struct lane *lane, const struct msghdr *message);

/* Events for streams that have been read ahead. Whether there was any. */
bool turn_take_ahead(struct pump *pump);

/* For a stream_reader with the pump as its owner. */
void turn_on_read(void *pump);
void turn_on_more(void *pump, int fd, void *tag);
void turn_on_gone(void *pump, int fd, void *tag);

/* libcoap's recvmsg(), for a lane. */
ssize_t turn_receive(void *lane, struct msghdr *into);

/* And the moment before it reads its timer. */
void turn_on_timer_read(struct pump *pump);

#endif
