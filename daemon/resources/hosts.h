/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual hosts (RFC 7252, 5.10.1): the names that the config gives to its resources, and which of them a request
 * is for. libcoap finds a resource by its path alone, so the resources of one path share a handle, and the one that
 * serves a request is chosen from among them by its Uri-Host and Uri-Port.
 */
#ifndef COAPD_RESOURCES_HOSTS_H
#define COAPD_RESOURCES_HOSTS_H

#include <coap3/coap.h>

#include "config/config.h"

/* All names of a config, sorted, without regard to case. */
struct hosts {
        const char **names; /* of the config */
        size_t n;
};

/* 0 or -ENOMEM, then nothing changed. The names are borrowed from `config`. */
int hosts_set(struct hosts *hosts, const struct config *config);
void hosts_deinit(struct hosts *hosts);

/*
 * The name that a request is for: "HOST:PORT" before "HOST". NULL where it names none of the config, or no host at
 * all: it is then for the resources without a host. Without names in the config Uri-Host is ignored.
 */
const char *hosts_of(const struct hosts *hosts, const coap_session_t *session, const coap_pdu_t *request);

/* Whether a resource of this config is at `host`; NULL: at none in particular. `conf` NULL: a dynamic one. */
bool hosts_include(const struct conf_resource *conf, const char *host);
/* Whether both are at one host. */
bool hosts_overlap(const struct conf_resource *a, const struct conf_resource *b);

#endif
