/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of libc by number, past those that sockets_calls.c stands in for; see sockets.h. */
#include "endpoints/sockets.h"

#include <sys/syscall.h>
#include <unistd.h>

ssize_t sockets_raw_recvmsg(int fd, struct msghdr *message, int flags)
{
        return syscall(SYS_recvmsg, fd, message, flags);
}

ssize_t sockets_raw_sendmsg(int fd, const struct msghdr *message, int flags)
{
        return syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t sockets_raw_recv(int fd, void *to, size_t n, int flags)
{
        return syscall(SYS_recvfrom, fd, to, n, flags, NULL, NULL);
}

ssize_t sockets_raw_send(int fd, const void *bytes, size_t n, int flags)
{
        return syscall(SYS_sendto, fd, bytes, n, flags, NULL, 0);
}

int sockets_raw_settime(int fd, const struct itimerspec *value)
{
#if defined(__LP64__)
        return (int)syscall(SYS_timerfd_settime, fd, 0, value, NULL);
#else
        return timerfd_settime(fd, 0, value, NULL);
#endif
}
