/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of libcoap's files of OSCORE contexts, coap-oscore-conf(5). */
#include <sys/stat.h>

#include "rig.h"
#include "security/oscore_internal.h"
#include "security/secrets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        CLEANUP(freep) char *text = NULL;
        struct oscore_source source = { 0 };
        struct config config = { 0 };
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        struct key_errors errors = { .config = &config, .out = out };
        char name[160];
        FILE *file;
        int r;

        snprintf(name, sizeof name, "%s/oscore", rig_idle()->folder);
        file = fopen(name, "w");
        RIG_CHECK(file && out && fwrite(data, 1, n, file) == n && fclose(file) == 0 && chmod(name, 0600) == 0,
                  "%s", name);
        r = oscore_source_of_file(name, (struct conf_origin){ "fuzzed", 1 }, &errors, &source);
        oscore_source_deinit(&source);
        fclose(out);
        RIG_CHECK(r == 0 || size > 0, "refused without a word");
        return 0;
}
