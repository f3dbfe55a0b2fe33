/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who observes what, counted: over every transport, whichever engine keeps it. libcoap has the observations and offers
 * no look at them, so their beginning and end is concluded from what it tells: requests and their answers, messages
 * that were rejected or never acknowledged, sessions and resources that end.
 */
#ifndef COAPD_RESOURCES_OBSERVATIONS_H
#define COAPD_RESOURCES_OBSERVATIONS_H

#include <coap3/coap.h>

#include "base/metrics.h"
#include "resources/clients.h"

struct observations;

/* A part of each resource: those of it. */
struct observed {
        size_t n;
        struct observation *first;
};

struct observations_bounds {
        size_t all, of_resource, of_client;
};

/*
 * The newest of a resource whose serial is below `before`, 0: the newest of all; then the next one each. NULL: none.
 */
const struct observation *observations_first(const struct observed *observed, uint64_t before);
const struct observation *observation_next(const struct observation *one);
uint64_t observation_serial(const struct observation *one);
coap_session_t *observation_session(const struct observation *one);

int observations_new(struct clients *clients, struct metrics *metrics,
                     struct observations **ret_observations);
void observations_free(struct observations *observations);

/*
 * Whether the one that `request` asks for is there already, or may begin. NULL, or a sentence that says why not.
 */
const char *observations_refuse(const struct observations *observations,
                                const struct observations_bounds *bounds, const struct client *client,
                                const struct observed *observed, const coap_pdu_t *request);

/*
 * libcoap has called for a GET or FETCH with Observe, a registration or a notification, or the end of one, and is
 * answered with `response`. The observation, if it is one from here on, else NULL.
 */
struct observation *observations_note(struct observations *observations, struct client *client,
                                      struct observed *observed, const coap_pdu_t *request,
                                      const coap_pdu_t *response, bool is_notification);

/*
 * libcoap would have the client acknowledge a notification: each, if all `must` be, else the sixth since the last one
 * and what follows. Whether it is to.
 */
bool observation_confirms(struct observation *one, bool must, uint64_t now_us, uint64_t interval_us);

/* A notification was rejected or never acknowledged. `sent` is NULL for one that needed no acknowledgement. */
void observations_nacked(struct observations *observations, struct client *client, const coap_pdu_t *sent,
                         coap_mid_t mid);

void observations_forget_client(struct observations *observations, struct client *client);
void observations_forget_resource(struct observations *observations, struct observed *observed);

#endif
