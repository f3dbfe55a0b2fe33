/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of persist engines, from engines.def. */
#include "persist/persist.h"

#include <string.h>

#include "base/util.h"

#define ENGINE(name) extern const struct persist_engine persist_engine_##name;
#include "persist/engines.def"
#undef ENGINE

#define ENGINE(name) &persist_engine_##name,
const struct persist_engine *const persist_engines[] = {
#include "persist/engines.def"
};
#undef ENGINE

const size_t persist_engine_count = ARRAY_LEN(persist_engines);

const struct persist_engine *persist_engine_find(const char *name)
{
        for (size_t i = 0; i < persist_engine_count; i++)
                if (strcmp(persist_engines[i]->name, name) == 0)
                        return persist_engines[i];
        return NULL;
}
