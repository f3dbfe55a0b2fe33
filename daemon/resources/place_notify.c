/* SPDX-License-Identifier: BSD-2-Clause */
/* A round of notifications to the observers of one path, over all contexts; see place.h. */
#include "resources/internal.h"

enum { IDLE_TWINS_KEPT = 8192 }; /* about 2 MiB, of all places */

static size_t n_shards(const struct place *place)
{
        return place->registry->host.shards.n;
}

static bool notify_one(struct place *place, coap_resource_t *handle, size_t shard)
{
        const struct registry_host *host = &place->registry->host;

        /* libcoap counts one on, if anybody observes. With one context its own count will do. */
        if (n_shards(place) > 1)
                coap_persist_set_observe_num(handle, place->number);
        if (!coap_resource_notify_observers(handle, NULL))
                return false;
        host->kick_soon(host->user, shard);
        return true;
}

bool place_notify(struct place *place, int mode)
{
        struct places *places = &place->registry->places;
        bool any;

        place_set_mode(place, mode);
        any = notify_one(place, place->handle, 0);
        for (size_t i = 0; i < place->twins.n;) {
                struct twin twin = place->twins.v[i];
                bool told = notify_one(place, twin.handle, twin.shard);

                any |= told;
                if (told || places->n_twins <= IDLE_TWINS_KEPT || twin.handle == places->serving) {
                        i++;
                        continue;
                }
                /* Nobody is left there. Not always: who just comes would have to be put off. */
                twins_remove(&place->twins, i);
                places->n_twins--;
                place_delete_handle(place, twin.handle);
        }
        /* Of those without observers too, which will go on from there. */
        if (any && n_shards(place) > 1)
                place_set_number(place, place->number + 1);
        return any;
}

void place_hurry(struct place *place)
{
        const struct registry_host *host = &place->registry->host;

        place_set_mode(place, COAP_RESOURCE_FLAGS_NOTIFY_NON);
        last_word_prepare(&place->last_word, &place->observers);
        last_word_begin(&place->last_word);
        host->kick_soon(host->user, 0);
        for (size_t i = 0; i < place->twins.n; i++)
                host->kick_soon(host->user, place->twins.v[i].shard);
}

void place_calm(struct place *place)
{
        last_word_end(&place->last_word);
}
