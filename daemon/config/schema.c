/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys of the configuration, one row each, but for those of `security` and `access` (schema_security.c)
 * and of the resource kinds (with each kind). A key is documented here and nowhere else.
 */
#include "config/schema.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "config/syntax.h"
#include "config/tables.h"

enum { SECONDS_A_YEAR = 365 * 24 * 3600 };

static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };

static const struct conf_row server_rows[] = {
        { ROW(CONF_CHOICE, conf_server, log_level), .fallback = "\"info\"", .choices = log_levels,
          .flags = CONF_RELOAD, .doc = "Messages less important than this are not logged." },
        { ROW(CONF_INT, conf_server, session_timeout), .fallback = "300", .min = 1, .max = SECONDS_A_YEAR,
          .unit = "seconds",
          .doc = "How long the session of a client that is idle is kept. A client that observes a resource "
                 "is never idle." },
        { ROW(CONF_INT, conf_server, max_sessions), .fallback = "100000", .min = 1, .max = 10000000,
          .unit = "sessions",
          .doc = "How many idle sessions are kept at most on each datagram endpoint, and how many sessions "
                 "on "
                 "all stream endpoints together, which descriptors limit as well (LimitNOFILE= of the unit). "
                 "The one that was idle for the longest makes room for a new one." },
        { ROW(CONF_INT, conf_server, shards), .fallback = "0", .min = 0, .max = 1024,
          .doc = "Into how many shards the clients of coap:// are divided, by their addresses. What libcoap "
                 "does for one of them takes longer the more there are in its shard; a shard takes 10 KB of "
                 "memory and two descriptors. 0: as many at each start as let each have 128 of the observers "
                 "that are to be restored, but at least 256, at most 1024, and no more than a quarter of the "
                 "descriptors (LimitNOFILE= of the unit). Of max_sessions each has its part. With "
                 "persist.engine = \"libcoap\" there is one." },
        { ROW(CONF_INT, conf_server, observer_check), .fallback = "86400", .min = 2, .max = 86400,
          .unit = "seconds", .flags = CONF_RELOAD,
          .doc = "Every observer is sent a confirmable notification at least this often, whether something "
                 "changed or not: one that does not acknowledge it is forgotten (RFC 7641, 4.5)." },
        { ROW(CONF_INT, conf_server, confirm_interval), .fallback = "30", .min = 0, .max = 86400,
          .unit = "seconds", .flags = CONF_RELOAD,
          .doc = "One in six notifications that need not be confirmable is so all the same, so that an "
                 "observer that is gone is found out soon, but none within so long of the last one to the "
                 "same observer: each draws an acknowledgement. 0: one in six, however fast they come." },
        { ROW(CONF_BOOL, conf_server, core_dumps), .flags = CONF_RELOAD, .fallback = "false",
          .doc = "Whether the kernel may write a core dump, and other processes of coapd's user look into "
                 "its "
                 "memory, also while there are keys in it: a crash leaves more to find its cause by, and the "
                 "keys to whoever may read the dump. Without any key in the config it always may." },
        { ROW(CONF_BOOL, conf_server, q_block), .flags = CONF_RELOAD, .fallback = "false",
          .doc = "Whether bodies may go by Q-Block1 and Q-Block2 (RFC 9177) over plain UDP: many blocks at a "
                 "time, so that a network that loses much or is slow to answer takes fewer rounds. "
                 "Otherwise, "
                 "and under DTLS and OSCORE, such a request is answered 4.02, and its client goes on with "
                 "Block1 and Block2." },
        { ROW(CONF_INT, conf_server, receive_buffer), .fallback = "4194304", .min = 0, .max = 1 << 30,
          .unit = "bytes",
          .doc = "The kernel's receive buffer of each datagram endpoint. It has to hold the acknowledgements "
                 "of one round of confirmable notifications, else the kernel drops some and clients get the "
                 "old value again. 0 leaves the kernel's default." },
        { ROW(CONF_INT, conf_server, send_buffer), .fallback = "4194304", .min = 0, .max = 1 << 30,
          .unit = "bytes",
          .doc = "The kernel's send buffer of each datagram endpoint. 0 leaves the kernel's default." },
        { ROW(CONF_STRING, conf_server, control), .min = 2, .max = 107, .flags = CONF_SAMPLE | CONF_PATH,
          .example = "\"/run/coapd/control\"",
          .doc = "The socket at which coapctl(8) shows and controls the running daemon. Its file is for the "
                 "user "
                 "and the group that the daemon runs as, and for root. Without it there is none. In the unit "
                 "it is to be in /run/coapd: the service has a /tmp of its own, and may write to little "
                 "else." },
};

static const struct conf_group server_group = { .name = "server",
                                                GROUP_OF(conf_server, server_rows),
                                                .doc = "The daemon as a whole." };

static const struct conf_row endpoint_rows[] = {
        { ROW(CONF_STRING, conf_endpoint, uri), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_NAME,
          .check = syntax_uri, .max = 300, .example = "\"coap://127.0.0.1:5683\"",
          .doc = "Where to listen, as SCHEME://HOST:PORT. The schemes are coap (UDP), coaps (DTLS), "
                 "coap+tcp, coaps+tcp (TLS), coap+ws and coaps+ws (WebSocket). An IPv6 address stands in "
                 "brackets, [::] is every address of the machine. The port may be left out: it is 5683, 5684 "
                 "with DTLS or TLS, 80 and 443 with WebSocket." },
        { ROW(CONF_STRINGS, conf_endpoint, multicast), .flags = CONF_RELOAD, .check = syntax_multicast,
          .max = 64, .example = "( \"224.0.1.187%eth0\", \"ff02::fd%eth0\" )",
          .doc = "The multicast groups to join, each with the network interface behind a % sign. Without one "
                 "the kernel chooses the interface. Only endpoints of the scheme coap can have them." },
};

static const struct conf_group endpoint_group = {
        .name = "endpoints",
        GROUP_OF(conf_endpoint, endpoint_rows),
        .doc = "The addresses at which coapd listens. At least one is needed."
};

static const struct conf_row resource_rows[] = {
        { ROW(CONF_STRING, conf_resource, path), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_NAME,
          .check = syntax_path, .max = 1000, .example = "\"sensors/1\"",
          .doc = "The path under which clients find the resource, without a slash at either end. Characters "
                 "are written as they are, not percent-encoded." },
        { ROW(CONF_STRING, conf_resource, kind), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_KIND,
          .example = "\"time\"", .doc = "What the resource is." },
        { ROW(CONF_STRINGS, conf_resource, host), .flags = CONF_RELOAD, .check = syntax_host, .max = 261,
          .example = "( \"a.example.org\" )",
          .doc = "Virtual hosts: the resource is there for requests whose Uri-Host is one of these names "
                 "alone, or "
                 "whose Uri-Host and Uri-Port are, for a name with a port such as \"a.example.org:5684\". "
                 "Requests that name no host of the config find the resources without this key and those "
                 "that "
                 "clients create. Where no resource has a host Uri-Host is ignored. Rules of access are for "
                 "a "
                 "path at every host." },
        { ROW(CONF_STRING, conf_resource, title), .flags = CONF_RELOAD, .check = syntax_title, .max = 255,
          .example = "\"Clock\"", .doc = "A title for people, shown in /.well-known/core." },
        { .key = "rt",
          .flags = CONF_RELOAD,
          .type = CONF_STRINGS,
          .offset = offsetof(struct conf_resource, resource_types),
          .check = syntax_link_value,
          .max = 255,
          .example = "( \"temperature-c\" )",
          .doc = "The resource types (RFC 6690, 3.1) shown in /.well-known/core. Without them a kind may "
                 "show its own." },
        { .key = "if",
          .flags = CONF_RELOAD,
          .type = CONF_STRINGS,
          .offset = offsetof(struct conf_resource, interfaces),
          .check = syntax_link_value,
          .max = 255,
          .example = "( \"sensor\" )",
          .doc = "The interface descriptions (RFC 6690, 3.2) shown in /.well-known/core." },
        { ROW(CONF_BOOL, conf_resource, observable), .flags = CONF_RELOAD, .fallback = "true",
          .doc = "Whether clients may observe the resource (RFC 7641)." },
        { ROW(CONF_BOOL, conf_resource, confirmable), .fallback = "false", .flags = CONF_RELOAD,
          .doc = "Whether every notification is to be acknowledged by the client, and sent again until it "
                 "is. "
                 "Otherwise one in six is, if server.confirm_interval allows." },
        { ROW(CONF_INT, conf_resource, notify_interval), .flags = CONF_RELOAD, .fallback = "0", .min = 0,
          .max = SECONDS_A_YEAR, .unit = "seconds",
          .doc = "Observers that heard nothing for so long are sent the present state again, so that they "
                 "know that it still holds. 0 tells them of changes only." },
        { ROW(CONF_BOOL, conf_resource, hidden), .flags = CONF_RELOAD, .fallback = "false",
          .doc = "Leaves the resource out of /.well-known/core. It is reachable all the same." },
        { ROW(CONF_INT, conf_resource, max_age), .flags = CONF_RELOAD, .fallback = "-1", .min = -1,
          .max = UINT32_MAX, .unit = "seconds",
          .doc = "How long caches may keep an answer. -1 sends no Max-Age, which means 60 seconds." },
};

static const struct conf_group resource_group = {
        .name = "resources",
        GROUP_OF(conf_resource, resource_rows),
        .fields = offsetof(struct conf_resource, fields),
        .doc = "The resources that are always there. These keys are for every kind; each kind has keys of "
               "its own."
};

static const struct conf_row dynamic_rows[] = {
        { ROW(CONF_BOOL, conf_dynamic, enable), .flags = CONF_RELOAD, .fallback = "false",
          .doc = "Whether clients may create resources, with a PUT or POST to a path that does not exist. "
                 "Who may is for a rule of access to say, one that has CREATE and the method: without any, "
                 "nobody may." },
        { ROW(CONF_STRINGS, conf_dynamic, prefix), .fallback = "( \"\" )",
          .flags = CONF_RELOAD | CONF_EMPTY_OK, .check = syntax_prefix, .max = 1000,
          .example = "( \"devices\", \"groups/a\" )",
          .doc = "The paths at and below which clients may create resources. An empty one allows every "
                 "path." },
        { ROW(CONF_STRINGS, conf_dynamic, confirmable), .flags = CONF_RELOAD | CONF_EMPTY_OK,
          .check = syntax_prefix, .max = 1000, .example = "( \"alarms\" )",
          .doc = "The paths at and below which every notification of a resource that a client created is to "
                 "be acknowledged, and sent again until it is, as with the key of the same name of a "
                 "resource. An empty one means every path." },
        { ROW(CONF_INT, conf_dynamic, max_resources), .flags = CONF_RELOAD, .fallback = "1000", .min = 1,
          .max = 10000000, .unit = "resources", .doc = "How many resources clients may create." },
        { ROW(CONF_INT, conf_dynamic, max_size), .flags = CONF_RELOAD, .fallback = "65536", .min = 1,
          .max = 64 << 20, .unit = "bytes", .doc = "How large the body of one may be." },
        { ROW(CONF_INT, conf_dynamic, max_total_size), .flags = CONF_RELOAD, .fallback = "67108864", .min = 1,
          .max = 1LL << 40, .unit = "bytes", .doc = "How large the bodies of all may be together." },
};

static const struct conf_group dynamic_group = {
        .name = "dynamic",
        GROUP_OF(conf_dynamic, dynamic_rows),
        .doc = "The resources that clients create. PUT and POST replace the content, and where their "
               "query has rt=, if= or title= the attributes in /.well-known/core; PATCH and "
               "iPATCH take a JSON merge patch (RFC 7396), DELETE removes it. A POST "
               "to a path that ends in a slash creates a member below it; the answer's "
               "Location-Path tells its name."
};

static const char *const syncs[] = { [CONF_SYNC_INTERVAL] = "interval", [CONF_SYNC_ALWAYS] = "always", NULL };
static const char *const bad_files[] = {
        [CONF_BAD_FILE_START_EMPTY] = "start-empty", [CONF_BAD_FILE_REFUSE] = "refuse", NULL
};

static const struct conf_row persist_rows[] = {
        { ROW(CONF_STRING, conf_persist, engine), .flags = CONF_ENGINE,
          .doc = "What keeps the state. The engine \"libcoap\" is libcoap's own: it keeps the observers and "
                 "their numbers, but only the newest of the resources that clients created, with the content "
                 "it was created with. Each takes over the files of the other, which are kept under a name "
                 "that "
                 "says when." },
        { ROW(CONF_STRING, conf_persist, dynamic_resources), .flags = CONF_PATH | CONF_SAMPLE,
          .example = "\"/var/lib/coapd/dynamic-resources\"",
          .doc = "The file that keeps the resources that clients created. Without it they are gone after a "
                 "restart." },
        { ROW(CONF_STRING, conf_persist, observers), .flags = CONF_PATH | CONF_SAMPLE,
          .example = "\"/var/lib/coapd/observers\"",
          .doc = "The file that keeps who observes what. Without it observers hear nothing more after a "
                 "restart. Observers over UDP are kept, with or without OSCORE." },
        { ROW(CONF_STRING, conf_persist, observe_counters), .flags = CONF_PATH | CONF_SAMPLE,
          .example = "\"/var/lib/coapd/observe-counters\"",
          .doc = "The file that keeps the Observe numbers. Without it they begin anew after a restart, and "
                 "clients ignore notifications for up to 128 seconds (RFC 7641, 3.4)." },
        { ROW(CONF_INT, conf_persist, save_frequency), .fallback = "10", .min = 1, .max = 100000,
          .unit = "notifications",
          .doc = "The Observe number of a resource is written at every so many notifications; after a "
                 "restart it goes on that much higher." },
        { ROW(CONF_CHOICE, conf_persist, sync), .fallback = "\"interval\"", .choices = syncs,
          .doc = "When changes are forced to the disk: \"always\" before a client gets its answer, so that a "
                 "power cut loses nothing that was acknowledged, \"interval\" in the background. Neither "
                 "loses anything when only coapd dies. The engine \"libcoap\" knows neither and leaves it to "
                 "the kernel." },
        { ROW(CONF_INT, conf_persist, sync_interval), .fallback = "1000", .min = 1, .max = 3600000,
          .unit = "milliseconds",
          .doc = "With sync = \"interval\", how much of the latest changes a power cut may take." },
        { ROW(CONF_CHOICE, conf_persist, bad_file), .fallback = "\"start-empty\"", .choices = bad_files,
          .doc = "What to do when one of the files turns out to be damaged or none of coapd's: "
                 "\"start-empty\" sets it aside "
                 "and goes on without it, \"refuse\" does not start. It is never overwritten." },
        { ROW(CONF_INT, conf_persist, observer_max_age), .fallback = "604800", .min = 0,
          .max = 10LL * SECONDS_A_YEAR, .unit = "seconds",
          .doc = "How long an observer is kept whose endpoint or resource is missing at a start, in case it "
                 "comes back. The engine \"libcoap\" forgets it at once." },
};

static const struct conf_group persist_group = {
        .name = "persist",
        GROUP_OF(conf_persist, persist_rows),
        .doc = "What survives a restart. Any of the three files may be left out, that state is then not "
               "kept. Their folder must exist and coapd must be able to write there: in the unit that is "
               "/var/lib/coapd, and what ReadWritePaths= of a drop-in (systemctl edit coapd) names."
};

static const char *const unproven_choices[] = { [CONF_UNPROVEN_BLOCKS] = "blocks",
                                                [CONF_UNPROVEN_ECHO] = "echo",
                                                [CONF_UNPROVEN_SERVE] = "serve",
                                                NULL };

static const struct conf_row limit_rows[] = {
        { ROW(CONF_INT, conf_limits, sessions_per_address), .flags = CONF_RELOAD, .fallback = "10000",
          .min = 0, .max = 10000000, .unit = "sessions",
          .doc = "How many sessions one IPv4 address or one IPv6 /64 may have; as many again may be of "
                 "senders "
                 "that have proved nothing (see limits.unproven), since anybody can forge those. With one "
                 "more, "
                 "the session that was idle for the longest ends; when all of them observe, the new one is "
                 "answered 5.03. 0 is no limit." },
        { ROW(CONF_INT, conf_limits, handshakes), .flags = CONF_RELOAD, .fallback = "1000", .min = 10,
          .max = 1000000, .unit = "handshakes",
          .doc = "How many handshakes of DTLS and TLS may be on their way, about 10 kB each. With more, old "
                 "ones of the addresses that have the most of them end." },
        { ROW(CONF_INT, conf_limits, observations), .flags = CONF_RELOAD, .fallback = "1000000", .min = 1,
          .max = 100000000, .unit = "observations",
          .doc = "How many observations there may be, about 1.3 kB each. One more is answered 5.03. A "
                 "quarter is "
                 "kept for clients that have proved their address (see limits.unproven), as anybody can "
                 "forge "
                 "the others." },
        { ROW(CONF_INT, conf_limits, observations_per_resource), .flags = CONF_RELOAD, .fallback = "100000",
          .min = 1, .max = 100000000, .unit = "observations",
          .doc = "How many of them one resource may have, a quarter of which is kept likewise." },
        { ROW(CONF_INT, conf_limits, observations_per_session), .flags = CONF_RELOAD, .fallback = "1000",
          .min = 1, .max = 100000000, .unit = "observations",
          .doc = "How many of them one session of a client may have." },
        { ROW(CONF_INT, conf_limits, token_length), .fallback = "256", .min = 8, .max = 65804,
          .unit = "bytes",
          .doc = "How long the token of a request may be (RFC 8974). Every observation keeps its token." },
        { ROW(CONF_INT, conf_limits, message_size), .fallback = "131072", .min = 1152, .max = 8 << 20,
          .unit = "bytes",
          .doc = "How long a message over TCP, TLS or WebSocket may be; clients are told so (RFC 8323, "
                 "5.3.1), "
                 "and send what is larger block by block. The session of one that does not ends." },
        { ROW(CONF_CHOICE, conf_limits, unproven), .flags = CONF_RELOAD, .fallback = "\"blocks\"",
          .choices = unproven_choices,
          .doc = "What to do with a long answer over UDP to an address that has proved nothing: somebody may "
                 "have forged it, so that its owner is flooded. \"blocks\" sends it in small blocks (RFC "
                 "7252, "
                 "11.3), which every client puts together that knows block-wise transfer. \"echo\" refuses "
                 "it, "
                 "and every observation, with 4.01 and an Echo option (RFC 9175) until the client sends that "
                 "back: clients that do not know Echo are shut out. \"serve\" sends it as it is. Proved are "
                 "the addresses of clients with DTLS, TCP, OSCORE, on this machine's loopback, that observed "
                 "before the restart, and that have sent an Echo back; with \"blocks\" it is offered beside "
                 "the first block." },
        { ROW(CONF_INT, conf_limits, unproven_response), .flags = CONF_RELOAD, .fallback = "160", .min = 100,
          .max = 1472, .unit = "bytes",
          .doc = "How long an answer to such an address may be in any case, and three times as long as the "
                 "request it may be, too. With the headers of IP and UDP, 160 are four times as much as the "
                 "shortest request." },
        { ROW(CONF_INT, conf_limits, transfers), .flags = CONF_RELOAD, .fallback = "1000", .min = 1,
          .max = 1000000, .unit = "transfers",
          .doc = "How many request bodies may be on their way in at a time, block by block. Of the address "
                 "that "
                 "has the most of them, the one that was idle for the longest makes room for a new one; its "
                 "client is told 4.08 and begins again." },
        { ROW(CONF_INT, conf_limits, transfer_bytes), .flags = CONF_RELOAD, .fallback = "67108864",
          .min = 65536, .max = 1LL << 40, .unit = "bytes",
          .doc = "How much memory they may take together. It grows with what has arrived, never with what a "
                 "client announces." },
        { ROW(CONF_INT, conf_limits, requests_per_second), .flags = CONF_RELOAD, .fallback = "0", .min = 0,
          .max = 10000000, .unit = "requests",
          .doc = "How many requests one IPv4 address or one IPv6 /64 may send in a second, with bursts of "
                 "twice as many; what is more is answered 4.29 with a Max-Age of one second (RFC 8516). 0 is "
                 "no limit: behind one address there may be a whole field of devices." },
        { ROW(CONF_INT, conf_limits, waiting), .flags = CONF_RELOAD, .fallback = "1000", .min = 1,
          .max = 100000, .unit = "requests",
          .doc = "How many requests may wait at a time for an answer that takes long, such as that of "
                 "another "
                 "server. One more is answered 5.03 with the seconds to wait in Max-Age." },
};

static const struct conf_group limits_group = { .name = "limits",
                                                GROUP_OF(conf_limits, limit_rows),
                                                .doc = "What clients may use up." };

static const struct conf_row root_rows[] = {
        { ROW(CONF_GROUP, config, server), .group = &server_group },
        { ROW(CONF_LIST, config, endpoints), .group = &endpoint_group, .flags = CONF_SAMPLE | CONF_ADDABLE,
          .example = "(\n  { uri = \"coap://127.0.0.1:5683\"; },\n  { uri = \"coap://[::1]:5683\"; }\n)" },
        { ROW(CONF_LIST, config, resources), .group = &resource_group, .flags = CONF_SAMPLE | CONF_RELOAD,
          .example = "(\n  { path = \"time\"; kind = \"time\"; title = \"Clock\"; }\n)" },
        { ROW(CONF_GROUP, config, limits), .group = &limits_group },
        { ROW(CONF_GROUP, config, dynamic), .group = &dynamic_group },
        { ROW(CONF_GROUP, config, persist), .group = &persist_group },
        { ROW(CONF_GROUP, config, security), .group = &conf_group_security },
        { ROW(CONF_LIST, config, access), .group = &conf_group_access, .flags = CONF_RELOAD,
          .example = "(\n  { path = \"/actuators/**\"; methods = ( \"PUT\", \"POST\", \"DELETE\" );\n    "
                     "allow = ( \"psk:sensor-1\", \"cert:CN=ops\", \"net:10.0.0.0/8\" ); },\n"
                     "  { path = \"/**\"; methods = ( \"GET\", \"OBSERVE\" ); allow = ( \"anyone\" ); }\n)" },
};

const struct conf_group conf_root = { .name = "", GROUP_OF(config, root_rows) };

const struct conf_variant *variant_find(const struct conf_vocabulary *vocabulary, const char *name)
{
        for (size_t i = 0; name && i < vocabulary->n_kinds; i++)
                if (strcmp(vocabulary->kinds[i].name, name) == 0)
                        return &vocabulary->kinds[i];
        return NULL;
}

const struct conf_row *variant_row(const struct conf_group *group)
{
        for (size_t i = 0; i < group->n_rows; i++)
                if (group->rows[i].flags & CONF_KIND)
                        return &group->rows[i];
        return NULL;
}

const struct conf_variant *variant_of(const struct conf_vocabulary *vocabulary,
                                      const struct conf_group *group, const void *base)
{
        const struct conf_row *row = variant_row(group);

        return row ? variant_find(vocabulary, *(char *const *)row_member_const(row, base)) : NULL;
}
