/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of the config, as a start, a reload and --check read it: keys, certificates and access rules included.
 * It lies in a folder with a few files that it may name; a text that names others is passed over.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/log.h"
#include "rig.h"
#include "settings.h"

static bool has(struct span text, const char *word)
{
        return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

/* Whether some string of it may stand for a path of this machine's, outside of the folder. */
static bool leads_out(struct span text)
{
        static const char *const words[] = { "include", "..", "\\", "pkcs11", "%" };

        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                if (has(text, words[i]))
                        return true;
        for (const uint8_t *p = text.p, *end = p + text.n; (p = memmem(p, (size_t)(end - p), "\"/", 2));
             p++) {
                char first[64] = "/";
                size_t n = 1;
                struct stat status;

                for (const uint8_t *c = p + 2; c < end && *c != '/' && *c != '"' && n < sizeof first - 1; c++)
                        first[n++] = (char)*c;
                if (n == 1 || stat(first, &status) == 0)
                        return true;
        }
        return false;
}

static void write_text(const char *name, struct span text)
{
        FILE *file = fopen(name, "w");

        RIG_CHECK(file && fwrite(text.p, 1, text.n, file) == text.n && fclose(file) == 0, "%s", name);
}

/* What can be asked of a config that is good. */
static void use(const struct settings *settings, FILE *out)
{
        static const char *const paths[] = { "/", "/a/b", "/secret/%41", "/time" };
        static const char *const subjects[] = { "anyone", "psk:a", "cert:CN=a", "oscore:02",
                                                "net:127.0.0.1" };

        config_diff(settings->config, settings->config, out);
        for (size_t i = 0; i < ARRAY_LEN(paths); i++)
                for (size_t k = 0; k < ARRAY_LEN(subjects); k++)
                        RIG_CHECK(settings_explain(settings, k & 1 ? "PUT" : "OBSERVE", paths[i], subjects[k],
                                                   out) >= 0,
                                  "%s is not explained", paths[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };
        CLEANUP(freep) char *text = NULL;
        size_t size = 0;
        char name[160];
        FILE *out;
        int r;

        if (leads_out(span_of(data, n)))
                return -1;
        log_set_level(LOG_EMERG);
        snprintf(name, sizeof name, "%s/fuzzed.conf", rig_idle()->folder);
        write_text(name, span_of(data, n));
        out = open_memstream(&text, &size);
        r = settings_load(name, out, &settings);
        fflush(out);
        RIG_CHECK(r == 0 || size > 0, "refused with %s, and not a word why", strerror(-r));
        RIG_CHECK(r <= 0 && (r == 0) == (settings.config != NULL), "an answer that is none: %d", r);
        if (r == 0)
                use(&settings, out);
        fclose(out);
        return 0;
}
