/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon counts about itself. One struct, owned by the server and handed to whoever counts; the
 * table below is the list of all counters, so that a report can name them.
 */
#ifndef COAPD_BASE_METRICS_H
#define COAPD_BASE_METRICS_H

#include <stdint.h>

#define METRICS(X)                                                                                           \
        X(sessions_opened, "sessions of clients that began")                                                 \
        X(sessions_closed, "sessions of clients that ended")                                                 \
        X(sessions_evicted, "idle sessions that made room for new ones")                                     \
        X(sessions_refused, "sessions that there was no room for")                                           \
        X(handshakes_ended, "handshakes that made room for others")                                          \
        X(requests, "requests handled")                                                                      \
        X(responses_success, "2.xx responses")                                                               \
        X(responses_client_error, "4.xx responses")                                                          \
        X(responses_server_error, "5.xx responses")                                                          \
        X(notifications, "notifications built")                                                              \
        X(observations, "observations registered")                                                           \
        X(answers_cut, "answers in small blocks, to addresses that proved nothing")                          \
        X(answers_refused, "answers refused with Echo, to addresses that proved nothing")                    \
        X(observations_now, "observations there are now")                                                    \
        X(observations_refused, "observations beyond a limit")                                               \
        X(observations_kept, "observations kept in the store now")                                           \
        X(transfers_refused, "block-wise bodies refused")                                                    \
        X(requests_denied, "requests denied by an access rule")                                              \
        X(requests_too_many, "requests beyond the limit of their address")                                   \
        X(duplicates, "requests answered from memory")                                                       \
        X(datagrams_received, "datagrams received")                                                          \
        X(datagrams_sent, "datagrams sent")                                                                  \
        X(datagrams_dropped, "datagrams dropped by the kernel")                                              \
        X(datagrams_cut, "datagrams longer than any message, ignored")                                       \
        X(datagrams_refused, "datagrams that could not be sent")                                             \
        X(store_writes, "changes written to the persistent store")                                           \
        X(store_errors, "changes that the persistent store refused")

struct metrics {
#define METRIC_MEMBER(name, text) uint64_t name;
        METRICS(METRIC_MEMBER)
#undef METRIC_MEMBER
};

#endif
