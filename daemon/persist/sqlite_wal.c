/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SQLite takes its log up to the first frame whose checksum does not hold, and says nothing about what is
 * behind it: right after a crash, where a half-written frame was never acknowledged, and wrong when a bit
 * flipped in the middle. So the log is read here first, to tell the two apart. Format:
 * https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "persist/sqlite_store.h"

enum {
        WAL_HEADER = 32,
        WAL_PAGE_SIZE = 8,
        WAL_SALT = 16,
        WAL_SUM = 24,
        FRAME_HEADER = 24,
        FRAME_SALT = 8,
        FRAME_SUM = 16,
        SALT_SIZE = 8,
        SUMMED_OF_FRAME = 8, /* bytes of a frame's header that its checksum covers, beside the page */
};

struct sum {
        uint32_t a, b;
};

static uint32_t word(const uint8_t *p, bool big)
{
        return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static struct sum add(struct sum s, const uint8_t *p, size_t n, bool big)
{
        for (size_t i = 0; i + 8 <= n; i += 8) {
                s.a += word(p + i, big) + s.b;
                s.b += word(p + i + 4, big) + s.a;
        }
        return s;
}

static bool fits(struct sum s, const uint8_t *p)
{
        return s.a == word(p, true) && s.b == word(p + 4, true);
}

/* What was found in a log. */
struct findings {
        size_t lost; /* frames that no checksum chain leads to any more; the last one may be half written */
        bool bad_header;
        bool unreadable;
};

/*
 * By pread() and not through a mapping: on a bad sector one of them fails, the other ends the process. `frame` has room
 * for the largest.
 */
static struct findings read_frames(int fd, size_t size, uint8_t *frame, const uint8_t header[WAL_HEADER])
{
        bool big = word(header, true) & 1, chained = true;
        size_t n = FRAME_HEADER + word(header + WAL_PAGE_SIZE, true);
        struct sum sum = add((struct sum){ 0 }, header, WAL_SUM, big);
        /* What is left over at the end is the beginning of a frame. */
        struct findings found = { .lost = (size - WAL_HEADER) % n != 0 };

        for (size_t at = WAL_HEADER; at + n <= size; at += n) {
                bool ours;

                if (pread(fd, frame, n, (off_t)at) != (ssize_t)n) {
                        found.unreadable = true;
                        found.lost += (size - at) / n;
                        break;
                }
                ours = memcmp(frame + FRAME_SALT, header + WAL_SALT, SALT_SIZE) == 0;
                if (chained && ours) {
                        sum = add(sum, frame, SUMMED_OF_FRAME, big);
                        sum = add(sum, frame + FRAME_HEADER, n - FRAME_HEADER, big);
                }
                chained = chained && ours && fits(sum, frame + FRAME_SUM);
                found.lost += ours && !chained;
        }
        return found;
}

static struct findings look(int fd, size_t size)
{
        enum { MAGIC = 0x377f0682, LEAST_PAGE = 512, LARGEST_PAGE = 65536 };
        CLEANUP(freep) uint8_t *frame = malloc(FRAME_HEADER + LARGEST_PAGE);
        uint8_t header[WAL_HEADER];
        uint32_t page;

        if (size < WAL_HEADER)
                return (struct findings){ .lost = 1 };
        if (!frame || pread(fd, header, sizeof header, 0) != sizeof header)
                return (struct findings){ .unreadable = true };
        page = word(header + WAL_PAGE_SIZE, true);
        if ((word(header, true) & ~1U) != MAGIC || page < LEAST_PAGE || page > LARGEST_PAGE ||
            !fits(add((struct sum){ 0 }, header, WAL_SUM, word(header, true) & 1), header + WAL_SUM))
                return (struct findings){ .bad_header = true,
                                          .lost = (size - WAL_HEADER) / (FRAME_HEADER + LEAST_PAGE) };
        return read_frames(fd, size, frame, header);
}

void store_check_log(const char *path)
{
        CLEANUP(freep) char *name = NULL;
        CLEANUP(closep) int fd = -1;
        struct findings found;
        struct stat st;

        if (asprintf(&name, "%s-wal", path) < 0)
                return;
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
                return;
        found = look(fd, (size_t)st.st_size);
        if (found.unreadable)
                log_error("%s: cannot be read to its end; the latest changes in it may be lost", name);
        else if (found.bad_header && found.lost)
                log_error("%s: its header is damaged; up to %zu changes in it are lost", name, found.lost);
        else if (found.lost > 1)
                log_warning(
                        "%s: is damaged, or the power failed: %zu pages of the latest changes in it are lost",
                        name, found.lost);
        else if (found.lost == 1)
                log_notice("%s: the last page in it is not whole; coapd died while it wrote it, or it is "
                           "damaged",
                           name);
}
