/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcoap's contexts, one for each shard of the peers: base/shards.h. For server.c alone.
 *
 * They are made in two steps: how many there are to be may depend on what is in the store, which is opened only when
 * the addresses are taken.
 */
#ifndef COAPD_CONTEXTS_H
#define COAPD_CONTEXTS_H

#include "wiring.h"

/* As many as there are at least, with the keys of DTLS and TLS. 0 or -errno, logged. */
int contexts_start(struct server *server);

/*
 * Those that the observers in the store ask for beside them, and their part of the endpoints. Before anything but the
 * endpoints is told of the shards. 0 or -errno, logged.
 */
int contexts_grow(struct server *server);

/* After persist_engine's stop(), before the endpoints are freed. */
void contexts_free(struct server *server);

#endif
