/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the command line: see load_options.h. */
#include "load_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "load_message.h"

static const char help[] =
        "usage: load [OPTIONS] URI\n"
        "\n"
        "Sends requests to a CoAP server on this machine's loopback and prints what came of it as JSON.\n"
        "URI: coap://127.0.0.1:PORT/PATH?QUERY, also coaps, coap+tcp, coap+ws. A run of @ in the path stands "
        "for a\n"
        "running number.\n"
        "\n"
        "requests\n"
        "  --method get|put|post|delete|none   none: no requests, observers only (default get)\n"
        "  --non                non-confirmable requests\n"
        "  --body N             bytes of each request's body\n"
        "  --peers N            sessions that ask in turn (default 1)\n"
        "  --by port|address    what tells them apart (default port)\n"
        "  --window N           closed loop: requests under way (default 64)\n"
        "  --rate R             open loop: requests a second\n"
        "  --count N            stop after so many; --numbers N: running numbers repeat after so many\n"
        "  --seconds S          measure so long (default 5), after --warmup S (default 0.3)\n"
        "  --timeout S          a request without an answer is lost after S (default 1)\n"
        "  --psk IDENTITY:KEY   for coaps\n"
        "  --oscore SECRET:SALT:SENDER:RECIPIENT[:IDCONTEXT]   hex; for coap\n"
        "\n"
        "observers, registered before the requests begin\n"
        "  --observers N --observe URI [--observe-by port|address] [--observe-window N (64)]\n"
        "  --no-observe         ask once without Observe: idle sessions instead of observers\n"
        "  --settle S           wait between registration and measurement (default 0.2)\n"
        "  --registration-limit S  give up who has not answered by then (default 90)\n"
        "  --round S            seconds between two changes of the resource (default 1)\n"
        "\n"
        "  --pid PID            read the server's processor time and memory from /proc\n";

enum option_code {
        OPT_METHOD = 256,
        OPT_NON,
        OPT_BODY,
        OPT_PEERS,
        OPT_BY,
        OPT_WINDOW,
        OPT_RATE,
        OPT_COUNT,
        OPT_NUMBERS,
        OPT_SECONDS,
        OPT_WARMUP,
        OPT_TIMEOUT,
        OPT_PSK,
        OPT_OSCORE,
        OPT_OBSERVERS,
        OPT_OBSERVE,
        OPT_OBSERVE_BY,
        OPT_OBSERVE_WINDOW,
        OPT_NO_OBSERVE,
        OPT_SETTLE,
        OPT_ROUND,
        OPT_LIMIT,
        OPT_PID,
        OPT_HELP,
};

static const struct option long_options[] = {
        { "method", required_argument, NULL, OPT_METHOD },
        { "non", no_argument, NULL, OPT_NON },
        { "body", required_argument, NULL, OPT_BODY },
        { "peers", required_argument, NULL, OPT_PEERS },
        { "by", required_argument, NULL, OPT_BY },
        { "window", required_argument, NULL, OPT_WINDOW },
        { "rate", required_argument, NULL, OPT_RATE },
        { "count", required_argument, NULL, OPT_COUNT },
        { "numbers", required_argument, NULL, OPT_NUMBERS },
        { "seconds", required_argument, NULL, OPT_SECONDS },
        { "warmup", required_argument, NULL, OPT_WARMUP },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "psk", required_argument, NULL, OPT_PSK },
        { "oscore", required_argument, NULL, OPT_OSCORE },
        { "observers", required_argument, NULL, OPT_OBSERVERS },
        { "observe", required_argument, NULL, OPT_OBSERVE },
        { "observe-by", required_argument, NULL, OPT_OBSERVE_BY },
        { "observe-window", required_argument, NULL, OPT_OBSERVE_WINDOW },
        { "no-observe", no_argument, NULL, OPT_NO_OBSERVE },
        { "settle", required_argument, NULL, OPT_SETTLE },
        { "round", required_argument, NULL, OPT_ROUND },
        { "registration-limit", required_argument, NULL, OPT_LIMIT },
        { "pid", required_argument, NULL, OPT_PID },
        { "help", no_argument, NULL, OPT_HELP },
        { NULL, 0, NULL, 0 },
};

static int split_path(const char *text, struct load_target *ret)
{
        const char *query = strchr(text, '?');
        size_t n = query ? (size_t)(query - text) : strlen(text);

        if (n >= sizeof(ret->path) || (query && strlen(query + 1) >= sizeof(ret->query)))
                return -EINVAL;
        memcpy(ret->path, text, n);
        ret->path[n] = '\0';
        ret->has_query = query != NULL;
        if (query)
                strcpy(ret->query, query + 1);
        return 0;
}

/* Only loopback: this is a tool that floods. */
static int read_uri(const char *uri, struct load_target *ret)
{
        static const struct {
                const char *prefix;
                enum load_transport transport;
        } schemes[] = {
                { "coap://", LOAD_UDP },
                { "coaps://", LOAD_DTLS },
                { "coap+tcp://", LOAD_TCP },
                { "coap+ws://", LOAD_WS },
        };

        for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
                size_t n = strlen(schemes[i].prefix);
                unsigned port = 0;
                char address[16];
                int end = 0;

                if (strncmp(uri, schemes[i].prefix, n) != 0)
                        continue;
                if (sscanf(uri + n, "%15[0-9.]:%u/%n", address, &port, &end) != 2 || !end || port > 65535 ||
                    inet_pton(AF_INET, address, &ret->server.sin_addr) != 1 ||
                    ntohl(ret->server.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
                        break;
                ret->server.sin_family = AF_INET;
                ret->server.sin_port = htons((uint16_t)port);
                ret->transport = schemes[i].transport;
                snprintf(ret->host, sizeof(ret->host), "%s:%u", address, port);
                return split_path(uri + n + end, ret);
        }
        return -EINVAL;
}

static int read_method(const char *text, uint8_t *ret)
{
        static const char *const names[] = { "none", "get", "post", "put", "delete" };

        for (uint8_t i = 0; i < ARRAY_LEN(names); i++) {
                if (strcmp(text, names[i]) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        return -EINVAL;
}

static int read_by(const char *text, bool *ret_by_address)
{
        *ret_by_address = strcmp(text, "address") == 0;
        return *ret_by_address || strcmp(text, "port") == 0 ? 0 : -EINVAL;
}

static int read_double(const char *text, double *ret)
{
        char *end;

        *ret = strtod(text, &end);
        return *text && !*end && *ret >= 0 ? 0 : -EINVAL;
}

static int read_u64(const char *text, uint64_t *ret)
{
        char *end;

        *ret = strtoull(text, &end, 10);
        return *text && !*end && *text != '-' ? 0 : -EINVAL;
}

static int read_u32(const char *text, uint32_t *ret)
{
        uint64_t value;
        int r = read_u64(text, &value);

        if (r == 0 && value > 1000000)
                r = -EINVAL; /* nothing here wants to be larger */
        if (r == 0)
                *ret = (uint32_t)value;
        return r;
}

static int take(int option, const char *value, struct load_options *self)
{
        switch (option) {
        case OPT_METHOD:
                return read_method(value, &self->method);
        case OPT_NON:
                self->type = MESSAGE_NON;
                return 0;
        case OPT_BODY:
                return read_u32(value, &self->body);
        case OPT_PEERS:
                return read_u32(value, &self->peers);
        case OPT_BY:
                return read_by(value, &self->by_address);
        case OPT_WINDOW:
                return read_u32(value, &self->window);
        case OPT_RATE:
                return read_double(value, &self->rate);
        case OPT_COUNT:
                return read_u64(value, &self->count);
        case OPT_NUMBERS:
                return read_u64(value, &self->numbers);
        case OPT_SECONDS:
                return read_double(value, &self->seconds);
        case OPT_WARMUP:
                return read_double(value, &self->warmup);
        case OPT_TIMEOUT:
                return read_double(value, &self->timeout);
        case OPT_PSK:
                self->psk = value;
                return 0;
        case OPT_OSCORE:
                self->oscore = value;
                return 0;
        case OPT_OBSERVERS:
                return read_u32(value, &self->observers);
        case OPT_OBSERVE:
                return read_uri(value, &self->observed);
        case OPT_OBSERVE_BY:
                return read_by(value, &self->observe_by_address);
        case OPT_OBSERVE_WINDOW:
                return read_u32(value, &self->observe_window);
        case OPT_NO_OBSERVE:
                self->no_observe = true;
                return 0;
        case OPT_SETTLE:
                return read_double(value, &self->settle);
        case OPT_ROUND:
                return read_double(value, &self->round);
        case OPT_LIMIT:
                return read_double(value, &self->registration_limit);
        case OPT_PID:
                self->pid = atoi(value);
                return self->pid > 0 ? 0 : -EINVAL;
        default:
                return -EINVAL;
        }
}

static int check(const struct load_options *self)
{
        if (self->observers && !self->observed.host[0])
                return fprintf(stderr, "load: --observers needs --observe URI\n"), -EINVAL;
        if (self->method && !self->target.host[0])
                return fprintf(stderr, "load: no URI of the form coap://127.0.0.1:PORT/PATH\n"), -EINVAL;
        if (!self->peers || !self->window || !self->observe_window)
                return fprintf(stderr, "load: peers and windows must be above 0\n"), -EINVAL;
        return 0;
}

int load_options(int argc, char **argv, struct load_options *ret)
{
        struct load_options self = {
                .method = 1,
                .type = MESSAGE_CON,
                .peers = 1,
                .window = 64,
                .seconds = 5,
                .warmup = 0.3,
                .settle = 0.2,
                .timeout = 1,
                .round = 1,
                .registration_limit = 90,
                .observe_window = 64,
        };
        int option, index = 0;

        while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
                if (option == OPT_HELP) {
                        fputs(help, stdout);
                        return 1;
                }
                if (option == '?')
                        return -EINVAL;
                if (take(option, optarg, &self) < 0) {
                        fprintf(stderr, "load: --%s %s: not valid, see --help\n", long_options[index].name,
                                optarg ? optarg : "");
                        return -EINVAL;
                }
        }
        if (optind < argc && read_uri(argv[optind], &self.target) < 0) {
                fprintf(stderr, "load: %s: expected coap[s|+tcp|+ws]://127.x.y.z:PORT/PATH\n", argv[optind]);
                return -EINVAL;
        }
        int r = check(&self);

        if (r == 0)
                *ret = self;
        return r;
}
