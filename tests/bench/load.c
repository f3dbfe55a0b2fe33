/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load generator: registers observers, waits, sends requests for a while, and prints what it saw and what
 * the server spent as one JSON object. `load --help` lists the options; tests/bench/run is who calls it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/util.h"
#include "load_flow.h"
#include "load_observe.h"
#include "load_options.h"
#include "load_server.h"

enum { OBSERVERS_FIRST = 0, PEERS_FIRST = 1000000 }; /* two sets of links get addresses of their own */

struct phase {
        uint64_t from, to;   /* ns */
        uint32_t registered; /* meanwhile */
        struct server_sample before, after;
};

/* Of the observers: the first tenth, the last, and all; when the last of them is in. */
enum part { FIRST, LAST, WHOLE, PARTS };

struct run {
        struct load_options options;
        struct loop loop;
        struct links *observer_links, *flow_links;
        struct observers *observers;
        struct flow *flow;
        struct phase registration, parts[PARTS], measurement;
        double own_cpu; /* seconds, in the measurement */
};

static double own_cpu(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t ns(double seconds)
{
        return (uint64_t)(seconds * (double)NS_PER_S);
}

static double seconds_of(const struct phase *phase)
{
        return (double)(phase->to - phase->from) / (double)NS_PER_S;
}

static int sample(const struct run *self, struct server_sample *ret)
{
        const struct load_target *target =
                self->options.target.host[0] ? &self->options.target : &self->options.observed;
        int r = server_sample(self->options.pid, ntohs(target->server.sin_port), ret);

        if (r < 0)
                fprintf(stderr, "load: cannot tell what %d spends: %s\n", self->options.pid, strerror(-r));
        return r;
}

/* --- phases --- */

static int open_links(struct run *self)
{
        static int (*const openers[])(const struct links_setup *, struct links **) = {
                [LOAD_UDP] = udp_open,
                [LOAD_TCP] = tcp_open,
                [LOAD_WS] = websocket_open,
                [LOAD_DTLS] = dtls_open,
        };
        const struct load_options *o = &self->options;
        struct links_setup observers = {
                .loop = &self->loop,
                .server = o->observed.server,
                .n = o->observers,
                .by_address = o->observe_by_address,
                .first = OBSERVERS_FIRST,
        };
        struct links_setup peers = {
                .loop = &self->loop,
                .server = o->target.server,
                .n = o->peers,
                .by_address = o->by_address,
                .urgent = o->observers > 0,
                .first = PEERS_FIRST,
                .host = o->target.host,
                .psk = o->psk,
        };
        int r = 0;

        if (o->observers)
                r = udp_open(&observers, &self->observer_links);
        if (r == 0 && o->method)
                r = openers[o->target.transport](&peers, &self->flow_links);
        if (r == 0 && o->method && o->oscore)
                r = oscore_wrap(self->flow_links, o->oscore, &self->flow_links);
        return r;
}

static int make_observers(struct run *self)
{
        const struct load_options *o = &self->options;
        struct observe_setup setup = {
                .links = self->observer_links,
                .shape = { .type = MESSAGE_CON,
                           .method = 1,
                           .path = o->observed.path,
                           .query = o->observed.has_query ? o->observed.query : NULL,
                           .observe = !o->no_observe },
                .window = o->observe_window,
                .round = ns(o->round),
        };

        return o->observers ? observers_new(&setup, &self->observers) : 0;
}

static int make_flow(struct run *self)
{
        const struct load_options *o = &self->options;
        struct flow_setup setup = {
                .links = self->flow_links,
                .shape = { .type = o->type,
                           .method = o->method,
                           .path = o->target.path,
                           .query = o->target.has_query ? o->target.query : NULL,
                           .body = o->body },
                .window = o->window,
                .rate = o->rate,
                .numbers = o->numbers,
                .count = o->count,
                .timeout = ns(o->timeout),
        };

        return o->method ? flow_new(&setup, &self->flow) : 0;
}

static int turn(struct run *self, uint64_t until)
{
        uint64_t now = now_ns(), next = until;

        if (self->observers)
                next = MIN(next, observers_pump(self->observers, now));
        if (self->flow)
                next = MIN(next, flow_pump(self->flow, now));

        int r = loop_turn(&self->loop, next);

        /* What the turn made ready to leave. */
        if (self->observers)
                self->observer_links->ops->flush(self->observer_links);
        if (self->flow)
                self->flow_links->ops->flush(self->flow_links);
        return r;
}

static int run_until(struct run *self, uint64_t until)
{
        int r = 0;

        while (r == 0 && now_ns() < until && !(self->flow && flow_done(self->flow)))
                r = turn(self, until);
        return r;
}

static int begin_part(struct run *self, enum part part)
{
        struct phase *phase = &self->parts[part];

        phase->registered = observers_result(self->observers)->registered;
        phase->from = now_ns();
        return sample(self, &phase->before);
}

static int end_part(struct run *self, enum part part)
{
        struct phase *phase = &self->parts[part];

        phase->registered = observers_result(self->observers)->registered - phase->registered;
        phase->to = now_ns();
        return sample(self, &phase->after);
}

/* Looks at the server when a tenth of the observers are in, and when a tenth are missing. */
static int look_at_parts(struct run *self)
{
        uint32_t tenth = self->options.observers / 10, in = observers_result(self->observers)->registered;
        int r = 0;

        if (in >= tenth && !self->parts[FIRST].to)
                r = end_part(self, FIRST);
        if (r == 0 && in >= self->options.observers - tenth && !self->parts[LAST].from)
                r = begin_part(self, LAST);
        return r;
}

static int register_all(struct run *self, uint64_t limit)
{
        int r = begin_part(self, FIRST);

        self->parts[WHOLE] = self->parts[FIRST];
        while (r == 0 && !observers_settled(self->observers) && now_ns() < limit) {
                r = turn(self, limit);
                if (r == 0)
                        r = look_at_parts(self);
        }
        /* Where many have failed, the parts may not have come to pass. */
        if (r == 0 && !self->parts[FIRST].to)
                r = end_part(self, FIRST);
        if (r == 0 && !self->parts[LAST].from)
                r = begin_part(self, LAST);
        if (r == 0)
                r = end_part(self, LAST);
        return r < 0 ? r : end_part(self, WHOLE);
}

static int register_observers(struct run *self)
{
        struct phase *phase = &self->registration;
        int r = sample(self, &phase->before);

        phase->from = now_ns();
        if (r == 0 && self->observers)
                r = register_all(self, phase->from + ns(self->options.registration_limit));
        phase->to = now_ns();
        if (self->observers)
                observers_stop_asking(self->observers);
        if (r == 0 && self->observers)
                r = run_until(self, now_ns() + ns(self->options.settle));
        return r < 0 ? r : sample(self, &phase->after);
}

static int measure(struct run *self)
{
        struct phase *phase = &self->measurement;
        int r = make_flow(self);

        if (r == 0 && self->flow && !self->options.count)
                r = run_until(self, now_ns() + ns(self->options.warmup));
        if (r == 0)
                r = sample(self, &phase->before);
        if (r < 0)
                return r;
        phase->from = now_ns();
        self->own_cpu = own_cpu();
        if (self->flow)
                flow_measure(self->flow);
        if (self->observers)
                observers_measure(self->observers, phase->from);
        r = run_until(self, phase->from + ns(self->options.seconds));
        phase->to = now_ns();
        self->own_cpu = own_cpu() - self->own_cpu;
        if (self->observers)
                observers_conclude(self->observers, phase->to);
        return r < 0 ? r : sample(self, &phase->after);
}

/* Requests of the open loop under way are waited for, so that slow ones show as slow and not as missing. */
static int drain(struct run *self)
{
        if (!self->flow || self->options.rate == 0)
                return 0;
        flow_stop(self->flow);
        return run_until(self, now_ns() + ns(self->options.timeout) + 100 * NS_PER_MS);
}

/* --- report --- */

static void print_phase(const char *name, const struct phase *phase, FILE *out)
{
        fprintf(out,
                "\"%s\": {\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"wake_ups\": %llu, \"drops\": %llu, ",
                name, seconds_of(phase), (double)(phase->after.cpu_ns - phase->before.cpu_ns) / 1e9,
                (unsigned long long)(phase->after.wake_ups - phase->before.wake_ups),
                (unsigned long long)(phase->after.drops - phase->before.drops));
        fprintf(out, "\"registered\": %u, \"written\": %llu, ", phase->registered,
                (unsigned long long)(phase->after.written - phase->before.written));
        fprintf(out, "\"memory_before\": %llu, \"memory_after\": %llu}",
                (unsigned long long)phase->before.memory, (unsigned long long)phase->after.memory);
}

static void print(const struct run *self, FILE *out)
{
        fprintf(out, "{");
        if (self->flow) {
                fprintf(out, "\"flow\": ");
                flow_print(self->flow, seconds_of(&self->measurement), out);
                fprintf(out, ", ");
        }
        if (self->observers) {
                fprintf(out, "\"observers\": ");
                observers_print(self->observers, seconds_of(&self->registration),
                                seconds_of(&self->measurement), out);
                fprintf(out, ", ");
        }
        fprintf(out, "\"server\": {");
        print_phase("first_tenth", &self->parts[FIRST], out);
        fprintf(out, ", ");
        print_phase("last_tenth", &self->parts[LAST], out);
        fprintf(out, ", ");
        print_phase("all", &self->parts[WHOLE], out);
        fprintf(out, ", ");
        print_phase("registration", &self->registration, out);
        fprintf(out, ", ");
        print_phase("measurement", &self->measurement, out);
        fprintf(out, "}, \"generator_cpu_seconds\": %.3f}\n", self->own_cpu);
}

static void close_all(struct run *self)
{
        flow_free(self->flow);
        observers_free(self->observers);
        if (self->flow_links)
                self->flow_links->ops->close(self->flow_links);
        if (self->observer_links)
                self->observer_links->ops->close(self->observer_links);
        loop_deinit(&self->loop);
}

int main(int argc, char **argv)
{
        struct run self = { .loop = { -1, -1 } };
        int r = load_options(argc, argv, &self.options);

        if (r != 0)
                return r > 0 ? EXIT_SUCCESS : 2;
        signal(SIGPIPE, SIG_IGN);
        r = loop_init(&self.loop);
        if (r == 0)
                r = open_links(&self);
        if (r == 0)
                r = make_observers(&self);
        if (r == 0)
                r = register_observers(&self);
        if (r == 0)
                r = measure(&self);
        if (r == 0)
                r = drain(&self);
        if (r == 0)
                print(&self, stdout);
        close_all(&self);
        if (r < 0)
                fprintf(stderr, "load: failed: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
