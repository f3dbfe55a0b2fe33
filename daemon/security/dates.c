/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dates, and what is said about them.
 */
#include "security/dates.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/message_ids.h"

#define DAY_S 86400L
#define WARN_S (30 * DAY_S)

void dates_add(struct dates *dates, const char *what, time_t from, time_t until)
{
        char *copy = dates->n < DATES_MAX && until != (time_t)-1 ? strdup(what) : NULL;

        if (!copy)
                return;
        dates->v[dates->n].what = copy;
        dates->v[dates->n].from = from;
        dates->v[dates->n++].until = until;
}

static void warn_of(const char *what, time_t from, time_t until, time_t now)
{
        struct log_fields fields = { .message_id = MESSAGE_CERTIFICATE_ENDS, .file = what };
        char day[32] = "";
        struct tm tm;

        if (gmtime_r(&until, &tm))
                strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        if (until <= now)
                log_message(LOG_WARNING, &fields, "%s has ended on %s: peers refuse it, replace it", what,
                            day);
        else if (until - now < WARN_S)
                log_message(LOG_WARNING, &fields, "%s ends on %s, in %lld days: replace it in time", what,
                            day, (long long)(until - now) / DAY_S);
        else if (from != (time_t)-1 && from > now)
                log_message(LOG_WARNING, &fields, "%s is not valid yet: is this machine's clock right?",
                            what);
}

void dates_warn(const struct dates *dates, time_t now)
{
        for (size_t i = 0; i < dates->n; i++)
                warn_of(dates->v[i].what, dates->v[i].from, dates->v[i].until, now);
}

void dates_deinit(struct dates *dates)
{
        for (size_t i = 0; i < dates->n; i++)
                free(dates->v[i].what);
        dates->n = 0;
}
