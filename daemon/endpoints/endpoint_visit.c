/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel knows of an endpoint's socket, as a row of a listing; see endpoint.h. */
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/buf.h"
#include "base/peer_name.h"
#include "endpoints/endpoint.h"

static void ask_datagrams(int fd, struct listed_endpoint *row)
{
        uint32_t memory[SK_MEMINFO_VARS] = { 0 };

        getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &(socklen_t){ sizeof memory });
        row->waiting = memory[SK_MEMINFO_RMEM_ALLOC];
        row->dropped = memory[SK_MEMINFO_DROPS];
}

/* Of a socket that listens, the number of connections to be accepted stands in the place of something else. */
static void ask_streams(int fd, struct listed_endpoint *row)
{
        struct tcp_info info = { 0 };

        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info });
        row->waiting = info.tcpi_unacked;
}

int endpoint_visit(const struct endpoint *endpoint, visit_endpoint visit, void *closure)
{
        CLEANUP(buf_deinit) struct buf groups = { 0 };
        struct listed_endpoint row = { .transport = endpoint_transport_name(endpoint->transport) };
        char address[PEER_NAME];

        row.address = peer_name((const struct sockaddr *)&endpoint->address, address);
        for (size_t i = 0; i < endpoint->groups.n; i++) {
                buf_append_string(&groups, i ? " " : "");
                buf_append_string(&groups, endpoint->groups.v[i]);
        }
        row.groups = buf_string(&groups);
        if (endpoint_socket_type(endpoint->transport) == SOCK_DGRAM)
                ask_datagrams(endpoint->fd, &row);
        else
                ask_streams(endpoint->fd, &row);
        return visit(closure, &row);
}
