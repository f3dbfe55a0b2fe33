/* SPDX-License-Identifier: BSD-2-Clause */
/* Registration and judgement of notifications: see load_observe.h. */
#include "load_observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum {
        BODIES = 256, /* rounds back of which we know when their body was first seen */
        TRIES = 5,    /* RFC 7252, 4.8: MAX_RETRANSMIT 4 */
        CODE_CONTENT = 2 << 5 | 5,
        OBSERVE_HALF = 1 << 23, /* RFC 7641, 3.4 */
        SCAN_EVERY = 100 * 1000 * 1000,
};

#define ACK_TIMEOUT (2 * NS_PER_S)
#define OBSERVE_REORDER (128 * NS_PER_S)

enum observer_state { WAITING, ASKED, REGISTERED, OVER };

struct observer {
        uint64_t last;   /* of the fresh notification before, or of the registration */
        uint32_t number; /* its Observe value */
        uint16_t id;     /* of the registration */
        uint8_t state;   /* enum observer_state */
        uint8_t tries;
};

struct observers {
        struct observe_setup setup;
        struct template template;
        struct observe_result result;
        bool measuring;
        uint32_t next, n_asked;
        uint64_t next_scan;
        uint64_t newest; /* body */
        uint64_t first_seen[BODIES];
        struct observer observers[];
};

/* --- registration --- */

static void ask(struct observers *self, uint32_t i, uint64_t now)
{
        struct observer *observer = &self->observers[i];

        if (observer->tries++ == 0) {
                observer->last = now;
                observer->id = (uint16_t)(i * 7 + 1);
        } else {
                self->result.retransmissions++;
        }
        observer->state = ASKED;
        template_patch(&self->template, observer->id, i, i, i);
        self->setup.links->ops->send(self->setup.links, i, self->template.bytes, self->template.n);
}

static void settle(struct observers *self, struct observer *observer, enum observer_state state)
{
        observer->state = (uint8_t)state;
        self->n_asked--;
}

static void take_registration(struct observers *self, struct observer *observer,
                              const struct message *message)
{
        uint64_t now = now_ns();

        if (message->type == MESSAGE_RST || message->code >> 5 != 2 ||
            message->has_observe != self->setup.shape.observe) {
                self->result.refused++;
                settle(self, observer, OVER);
                return;
        }
        histogram_add(&self->result.registration, now - observer->last);
        self->result.registered++;
        observer->number = message->observe;
        observer->last = now;
        settle(self, observer, REGISTERED);
}

/* 2, 6, 14, 30 s after the first. */
static void retry(struct observers *self, uint64_t now)
{
        for (uint32_t i = 0; i < self->next; i++) {
                struct observer *observer = &self->observers[i];

                if (observer->state != ASKED ||
                    now < observer->last + ACK_TIMEOUT * ((1u << observer->tries) - 1))
                        continue;
                if (observer->tries < TRIES) {
                        ask(self, i, now);
                } else {
                        self->result.failed++;
                        settle(self, observer, OVER);
                }
        }
        self->next_scan = now + SCAN_EVERY;
}

void observers_stop_asking(struct observers *self)
{
        for (uint32_t i = 0; i < self->setup.links->n; i++) {
                if (self->observers[i].state == WAITING || self->observers[i].state == ASKED) {
                        self->observers[i].state = OVER;
                        self->result.failed++;
                }
        }
        self->n_asked = 0;
        self->next = self->setup.links->n;
}

uint64_t observers_pump(struct observers *self, uint64_t now)
{
        while (self->n_asked < self->setup.window && self->next < self->setup.links->n) {
                self->n_asked++;
                ask(self, self->next++, now);
        }
        if (now >= self->next_scan && !observers_settled(self))
                retry(self, now);
        self->setup.links->ops->flush(self->setup.links);
        return observers_settled(self) ? UINT64_MAX : self->next_scan;
}

bool observers_settled(const struct observers *self)
{
        return self->n_asked == 0 && self->next == self->setup.links->n;
}

/* --- notifications --- */

static bool read_number(const struct message *message, uint64_t *ret)
{
        uint64_t value = 0;

        if (!message->n_payload || message->n_payload > 18)
                return false;
        for (size_t i = 0; i < message->n_payload; i++) {
                if (message->payload[i] < '0' || message->payload[i] > '9')
                        return false;
                value = value * 10 + (uint64_t)(message->payload[i] - '0');
        }
        *ret = value;
        return true;
}

/* How long ago a newer body than this one was first seen; 0: it is the newest. */
static uint64_t superseded_for(struct observers *self, uint64_t body, uint64_t now)
{
        if (body > self->newest) {
                /* A body that nobody got was superseded when the next one came. */
                for (uint64_t b = self->newest + 1; b <= body && b - self->newest <= BODIES; b++)
                        self->first_seen[b % BODIES] = now;
                if (body - self->newest > BODIES)
                        self->first_seen[body % BODIES] = now;
                self->newest = body;
        }
        if (body == self->newest)
                return 0;
        return self->newest - body >= BODIES ? UINT64_MAX : now - self->first_seen[(body + 1) % BODIES];
}

static bool is_newer(const struct observer *observer, uint32_t number, uint64_t now)
{
        uint32_t v1 = observer->number, v2 = number;

        return (v1 < v2 && v2 - v1 < OBSERVE_HALF) || (v1 > v2 && v1 - v2 > OBSERVE_HALF) ||
               now > observer->last + OBSERVE_REORDER;
}

static void judge(struct observers *self, struct observer *observer, const struct message *message)
{
        uint64_t now = now_ns(), body = 0;
        bool numbered = read_number(message, &body);
        bool stale_body = numbered && superseded_for(self, body, now) > self->setup.round;
        bool newer = is_newer(observer, message->observe, now);

        if (self->measuring) {
                self->result.notifications++;
                self->result.confirmable += message->type == MESSAGE_CON;
                if (message->observe == observer->number)
                        self->result.duplicate++;
                else if (!newer)
                        self->result.stale_observe++;
                else if (stale_body)
                        self->result.stale_body++;
                else
                        self->result.fresh++;
                if (numbered && !stale_body && newer)
                        histogram_add(&self->result.delay, now - self->first_seen[body % BODIES]);
        }
        if (!newer)
                return;
        observer->number = message->observe;
        if (stale_body)
                return;
        if (self->measuring)
                histogram_add(&self->result.gap, now - observer->last);
        self->result.max_gap = MAX(self->result.max_gap, now - observer->last);
        observer->last = now;
}

static void reply(struct observers *self, uint32_t i, uint8_t type, uint16_t id)
{
        uint8_t empty[HEADER_SIZE];

        message_empty(type, id, empty);
        self->setup.links->ops->send(self->setup.links, i, empty, sizeof(empty));
}

static void receive(void *user, uint32_t i, const struct message *message)
{
        struct observers *self = user;
        struct observer *observer = &self->observers[i];
        bool ours = message->has_token && message->token == i;

        if (message->code == 0 && message->type != MESSAGE_RST)
                return; /* the ACK before a separate answer */
        if (message->code >> 5 == 7)
                return; /* a stream's signal */
        if (!ours && message->type != MESSAGE_RST) {
                self->result.strange++;
                reply(self, i, MESSAGE_RST, message->id);
                return;
        }
        if (message->type == MESSAGE_CON)
                reply(self, i, MESSAGE_ACK, message->id);
        if (observer->state == ASKED) {
                take_registration(self, observer, message);
        } else if (observer->state == REGISTERED && message->type == MESSAGE_ACK) {
                ; /* the answer to a registration sent twice */
        } else if (message->has_observe && message->code == CODE_CONTENT) {
                judge(self, observer, message);
        } else {
                self->result.ended++;
                observer->state = OVER;
        }
}

/* --- the whole --- */

void observers_measure(struct observers *self, uint64_t now)
{
        self->measuring = true;
        self->result.max_gap = 0;
        for (uint32_t i = 0; i < self->setup.links->n; i++)
                self->observers[i].last = now;
}

void observers_conclude(struct observers *self, uint64_t now)
{
        self->measuring = false;
        for (uint32_t i = 0; i < self->setup.links->n; i++)
                if (self->observers[i].state == REGISTERED)
                        self->result.max_gap = MAX(self->result.max_gap, now - self->observers[i].last);
}

const struct observe_result *observers_result(const struct observers *self)
{
        return &self->result;
}

void observers_print(const struct observers *self, double registration_seconds, double seconds, FILE *out)
{
        const struct observe_result *r = &self->result;
        const struct {
                const char *name;
                uint64_t value;
        } counts[] = {
                { "registered", r->registered },
                { "refused", r->refused },
                { "failed", r->failed },
                { "retransmissions", r->retransmissions },
                { "notifications", r->notifications },
                { "confirmable", r->confirmable },
                { "fresh", r->fresh },
                { "duplicate", r->duplicate },
                { "stale_observe", r->stale_observe },
                { "stale_body", r->stale_body },
                { "ended", r->ended },
                { "strange", r->strange },
                { "send_errors", self->setup.links->send_errors },
                { "client_drops",
                  self->setup.links->ops->drops ? self->setup.links->ops->drops(self->setup.links) : 0 },
        };

        fprintf(out, "{");
        for (size_t i = 0; i < ARRAY_LEN(counts); i++)
                fprintf(out, "\"%s\": %llu, ", counts[i].name, (unsigned long long)counts[i].value);
        fprintf(out, "\"registration_seconds\": %.6f, \"registration_rate\": %.1f, \"seconds\": %.6f, ",
                registration_seconds, registration_seconds > 0 ? r->registered / registration_seconds : 0.0,
                seconds);
        fprintf(out, "\"max_gap_ms\": %.1f, \"registration_us\": ", (double)r->max_gap / 1e6);
        histogram_print(&r->registration, out);
        fprintf(out, ", \"gap_us\": ");
        histogram_print(&r->gap, out);
        fprintf(out, ", \"delay_us\": ");
        histogram_print(&r->delay, out);
        fprintf(out, "}");
}

void observers_free(struct observers *self)
{
        free(self);
}

int observers_new(const struct observe_setup *setup, struct observers **ret)
{
        struct observers *self = calloc(1, sizeof(*self) + setup->links->n * sizeof(self->observers[0]));
        int r = self ? template_init(&self->template, &setup->shape) : -ENOMEM;

        if (r < 0) {
                fprintf(stderr, "load: cannot make the registrations: %s\n", strerror(-r));
                free(self);
                return r;
        }
        self->setup = *setup;
        setup->links->receive = receive;
        setup->links->user = self;
        *ret = self;
        return 0;
}
