/* SPDX-License-Identifier: BSD-2-Clause */
/* What the pump asks of the others: who is let in, and when answers may leave. */
#include "wiring.h"

/* The engine has logged why. Answers kept for duplicates may be to changes that are undone. */
static bool may_send(void *user)
{
        struct server *server = user;

        if (!server->engine->settle || server->engine->settle(server->engine_self) == 0)
                return true;
        registry_forget_answers(server->registry);
        return false;
}

static bool admit(void *user, int fd, const struct msghdr *message, size_t *n)
{
        struct server *server = user;

        registry_datagram(server->registry, message, n);
        return security_admit(server->security, fd, message, *n);
}

static void turn_ends(void *user)
{
        struct server *server = user;

        registry_send_bursts(server->registry);
}

static void reads_stream(void *user)
{
        struct server *server = user;

        security_next_message(server->security);
}

static size_t route_oscore(void *user, struct span option)
{
        struct server *server = user;

        return security_oscore_home(server->security, option);
}

static bool has_opened(void *user)
{
        struct server *server = user;

        return security_has_opened(server->security);
}

static size_t route_session(void *user, int fd, const struct msghdr *message)
{
        struct server *server = user;

        return security_session_home(server->security, fd, message);
}

static bool wants_preparing(void *user, size_t shard, struct span request)
{
        struct server *server = user;

        return registry_wants_handle(server->registry, shard, request);
}

static void prepare(void *user, size_t shard, struct span request)
{
        struct server *server = user;

        registry_make_handle(server->registry, shard, request);
}

static void turn_is_over(void *user)
{
        struct server *server = user;
        struct status_numbers numbers;

        security_turn_is_over(server->security);
        /* Where nobody wanted an answer, nothing has asked for it yet: the store must not wait for the next one. */
        may_send(server);
        server->metrics.handshakes_ended += security_tidy(server->security);
        registry_tidy(server->registry);
        if (!server->status_line)
                return;
        wire_status(server, &numbers);
        status_line_touch(server->status_line, &numbers);
}

void wire_pump(struct server *server)
{
        server->guard = (struct pump_guard){
                .admit = admit,
                .reads_stream = reads_stream,
                .route_oscore = route_oscore,
                .route_session = route_session,
                .has_opened = has_opened,
                .wants_preparing = wants_preparing,
                .prepare = prepare,
                .may_send = may_send,
                .turn_ends = turn_ends,
                .turn_is_over = turn_is_over,
                .userdata = server,
        };
        pump_set_guard(server->pump, &server->guard);
}
