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
#include <sys/mman.h>
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

/* Frames of this log that no checksum chain leads to any more; the last one may be half written. */
static size_t count_lost(struct span wal, bool *ret_header)
{
        static const uint32_t magic = 0x377f0682;
        struct sum sum = { 0 };
        size_t frame, lost = 0;
        bool big, chained = true;

        *ret_header = false;
        if (wal.n < WAL_HEADER)
                return 1;
        big = word(wal.p, true) & 1;
        frame = word(wal.p + WAL_PAGE_SIZE, true);
        sum = add(sum, wal.p, WAL_SUM, big);
        if ((word(wal.p, true) & ~1U) != magic || frame < 512 || frame > 65536 ||
            !fits(sum, wal.p + WAL_SUM)) {
                *ret_header = true;
                return (wal.n - WAL_HEADER) / (FRAME_HEADER + 512);
        }
        frame += FRAME_HEADER;
        /* What is left over at the end is the beginning of a frame. */
        lost = (wal.n - WAL_HEADER) % frame != 0;
        for (size_t at = WAL_HEADER; at + frame <= wal.n; at += frame) {
                const uint8_t *p = wal.p + at;
                bool ours = memcmp(p + FRAME_SALT, wal.p + WAL_SALT, SALT_SIZE) == 0;

                if (chained && ours) {
                        sum = add(sum, p, SUMMED_OF_FRAME, big);
                        sum = add(sum, p + FRAME_HEADER, frame - FRAME_HEADER, big);
                }
                chained = chained && ours && fits(sum, p + FRAME_SUM);
                lost += ours && !chained;
        }
        return lost;
}

void store_check_log(const char *path)
{
        CLEANUP(freep) char *name = NULL;
        CLEANUP(closep) int fd = -1;
        struct stat st;
        size_t lost;
        bool header;
        void *p;

        if (asprintf(&name, "%s-wal", path) < 0)
                return;
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
                return;
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return;
        lost = count_lost(span_of(p, (size_t)st.st_size), &header);
        munmap(p, (size_t)st.st_size);
        if (header && lost)
                log_error("%s: its header is damaged; up to %zu changes in it are lost", name, lost);
        else if (lost > 1)
                log_warning(
                        "%s: is damaged, or the power failed: %zu pages of the latest changes in it are lost",
                        name, lost);
        else if (lost == 1)
                log_notice("%s: the last page in it is not whole; coapd died while it wrote it, or it is "
                           "damaged",
                           name);
}
