/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in closed and open loop: see load_flow.h. */
#include "load_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { SLOTS_MAX = 65536, SCAN_EVERY = 50 * NS_PER_MS };

/* A request under way. Its token is the slot's number and a generation, so that a late answer is known as
 * one. */
struct slot {
        uint64_t since; /* 0: free */
        uint16_t generation;
};

struct flow {
        struct flow_setup setup;
        struct template template;
        struct flow_result result;
        bool measuring, stopped;
        uint32_t n_slots, n_free, next_link;
        uint64_t started, issued, next_due, next_scan;
        double interval; /* ns between requests of an open loop */
        uint32_t *free_slots;
        uint16_t *ids; /* the next message id of each link */
        struct slot *slots;
};

static void release(struct flow *self, uint32_t slot)
{
        self->slots[slot].since = 0;
        self->slots[slot].generation++;
        self->free_slots[self->n_free++] = slot;
}

static bool exhausted(const struct flow *self)
{
        return self->stopped || (self->setup.count && self->issued >= self->setup.count);
}

static void issue(struct flow *self, uint64_t since)
{
        uint32_t slot = self->free_slots[--self->n_free];
        uint32_t token = (uint32_t)self->slots[slot].generation << 16 | slot;
        uint32_t link = self->next_link;
        uint64_t number = self->setup.numbers ? self->issued % self->setup.numbers : self->issued;

        self->next_link = link + 1 < self->setup.links->n ? link + 1 : 0;
        self->slots[slot].since = since;
        template_patch(&self->template, self->ids[link]++, token, number, self->issued);
        self->issued++;
        if (self->measuring)
                self->result.sent++;
        self->setup.links->ops->send(self->setup.links, link, self->template.bytes, self->template.n);
}

static void receive(void *user, uint32_t link, const struct message *message)
{
        struct flow *self = user;
        uint32_t slot = message->token & 0xffff;
        uint64_t now = now_ns();

        if (message->type == MESSAGE_RST) {
                self->result.resets++;
                return;
        }
        if (message->code == 0 || message->code >> 5 == 7)
                return; /* the ACK before a separate answer, or a stream's signal */
        if (message->type == MESSAGE_CON) {
                uint8_t ack[HEADER_SIZE];

                message_empty(MESSAGE_ACK, message->id, ack);
                self->setup.links->ops->send(self->setup.links, link, ack, sizeof(ack));
        }
        if (!message->has_token || slot >= self->n_slots || !self->slots[slot].since ||
            self->slots[slot].generation != message->token >> 16) {
                self->result.late++;
                return;
        }
        if (self->measuring) {
                self->result.answered++;
                self->result.codes[message->code]++;
                histogram_add(&self->result.latency, now - self->slots[slot].since);
        }
        release(self, slot);
        if (self->setup.rate == 0 && !exhausted(self))
                issue(self, now);
}

static void scan_timeouts(struct flow *self, uint64_t now)
{
        for (uint32_t i = 0; i < self->n_slots; i++) {
                if (self->slots[i].since && now > self->slots[i].since + self->setup.timeout) {
                        if (self->measuring)
                                self->result.timeouts++;
                        release(self, i);
                }
        }
        self->next_scan = now + SCAN_EVERY;
}

static void issue_due(struct flow *self, uint64_t now)
{
        while (!exhausted(self) && self->next_due <= now) {
                if (self->n_free)
                        issue(self, self->next_due);
                else
                        self->result.skipped++;
                self->next_due += (uint64_t)self->interval;
        }
}

uint64_t flow_pump(struct flow *self, uint64_t now)
{
        uint64_t again;

        if (!self->started)
                self->started = self->next_due = now;
        if (now >= self->next_scan)
                scan_timeouts(self, now);
        if (self->setup.rate > 0) {
                issue_due(self, now);
                again = exhausted(self) ? self->next_scan : MIN(self->next_due, self->next_scan);
        } else {
                while (self->n_free && !exhausted(self))
                        issue(self, now);
                again = self->next_scan;
        }
        self->setup.links->ops->flush(self->setup.links);
        return again;
}

void flow_measure(struct flow *self)
{
        self->measuring = true;
        self->result.resets = self->result.late = self->result.skipped = 0;
}

void flow_stop(struct flow *self)
{
        self->stopped = true;
}

bool flow_done(const struct flow *self)
{
        return exhausted(self) && self->n_free == self->n_slots;
}

const struct flow_result *flow_result(const struct flow *self)
{
        return &self->result;
}

void flow_print(const struct flow *self, double seconds, FILE *out)
{
        const struct flow_result *r = &self->result;
        const char *separator = "";

        fprintf(out, "{\"sent\": %llu, \"answered\": %llu, \"seconds\": %.6f, \"rate\": %.1f, ",
                (unsigned long long)r->sent, (unsigned long long)r->answered, seconds,
                seconds > 0 ? (double)r->answered / seconds : 0.0);
        fprintf(out, "\"timeouts\": %llu, \"resets\": %llu, \"late\": %llu, \"skipped\": %llu, ",
                (unsigned long long)r->timeouts, (unsigned long long)r->resets, (unsigned long long)r->late,
                (unsigned long long)r->skipped);
        fprintf(out, "\"send_errors\": %llu, \"client_drops\": %llu, \"codes\": {",
                (unsigned long long)self->setup.links->send_errors,
                self->setup.links->ops->drops
                        ? (unsigned long long)self->setup.links->ops->drops(self->setup.links)
                        : 0ULL);
        for (unsigned code = 0; code < ARRAY_LEN(r->codes); code++) {
                if (r->codes[code]) {
                        fprintf(out, "%s\"%u.%02u\": %llu", separator, code >> 5, code & 31,
                                (unsigned long long)r->codes[code]);
                        separator = ", ";
                }
        }
        fprintf(out, "}, \"latency_us\": ");
        histogram_print(&r->latency, out);
        fprintf(out, "}");
}

void flow_free(struct flow *self)
{
        if (!self)
                return;
        free(self->free_slots);
        free(self->slots);
        free(self->ids);
        free(self);
}

static int allocate(struct flow *self)
{
        self->free_slots = calloc(self->n_slots, sizeof(self->free_slots[0]));
        self->slots = calloc(self->n_slots, sizeof(self->slots[0]));
        self->ids = calloc(self->setup.links->n, sizeof(self->ids[0]));
        if (!self->free_slots || !self->slots || !self->ids)
                return -ENOMEM;
        for (uint32_t i = self->n_slots; i-- > 0;)
                self->free_slots[self->n_free++] = i;
        return 0;
}

int flow_new(const struct flow_setup *setup, struct flow **ret)
{
        struct flow *self = calloc(1, sizeof(*self));
        int r = self ? template_init(&self->template, &setup->shape) : -ENOMEM;

        if (r == 0) {
                self->setup = *setup;
                self->n_slots = setup->rate > 0 ? SLOTS_MAX : MIN(setup->window, (uint32_t)SLOTS_MAX);
                self->interval = setup->rate > 0 ? (double)NS_PER_S / setup->rate : 0;
                r = allocate(self);
        }
        if (r < 0) {
                fprintf(stderr, "load: cannot make the requests: %s\n", strerror(-r));
                flow_free(self);
                return r;
        }
        setup->links->receive = receive;
        setup->links->user = self;
        *ret = self;
        return 0;
}
