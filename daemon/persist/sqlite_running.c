/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the machine went down while coapd ran: the store of counters names the boot in which coapd runs, until it
 * ends in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "persist/files.h"
#include "persist/sqlite_counters.h"

/* "BOOT N": the boot in which it runs, "" after an orderly end, and how many power cuts there were. */
static int write_running(struct store_counters *self, const char *boot)
{
        char text[96];

        snprintf(text, sizeof text, "%s %u", boot, self->power_cuts);
        sqlite3_bind_text(self->boot_put, 1, text, -1, SQLITE_STATIC);
        return store_write(self->store, self->boot_put);
}

bool store_running_note(struct store_counters *self)
{
        char boot[64];

        persist_boot_id(boot, sizeof boot);
        self->unnoted = self->store->refusing || write_running(self, boot) < 0;
        if (!self->unnoted)
                store_sync(self->store);
        return !self->unnoted;
}

void store_running_end(struct store_counters *self)
{
        write_running(self, "");
}

/* What write_running() wrote last, in the same two parts. */
static void read_running(struct store_counters *self, char *boot, size_t size)
{
        char *count;

        boot[0] = '\0';
        if (sqlite3_step(self->boot_get) == SQLITE_ROW)
                snprintf(boot, size, "%s", store_text(self->boot_get, 0));
        sqlite3_reset(self->boot_get);
        count = boot + strcspn(boot, " ");
        if (*count) {
                self->power_cuts = (uint32_t)strtoul(count + 1, NULL, 10);
                *count = '\0';
        }
}

void store_running_look(struct store_counters *self)
{
        char boot[64], last[96];

        persist_boot_id(boot, sizeof boot);
        read_running(self, last, sizeof last);
        self->power_cut = last[0] && strcmp(last, boot) != 0;
        self->power_cuts += self->power_cut;
        if (self->power_cut)
                log_notice("%s: the machine went down without stopping coapd; Observe numbers skip ahead",
                           self->store->path);
        store_running_note(self);
}
