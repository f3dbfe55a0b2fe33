/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes what is generated from the configuration's schema and checked in: the sample file and the manual
 * page of the configuration. `cmake --build ... --target docs` runs it on the tree; a unit test fails when
 * the copies in the tree are not what it would write.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/config.h"
#include "settings.h"

static int failed(const char *path)
{
        fprintf(stderr, "docgen: %s: %s\n", path, strerror(errno));
        return 1;
}

static int copy(const char *path, FILE *out)
{
        FILE *in = fopen(path, "r");
        int c;

        if (!in)
                return failed(path);
        while ((c = getc(in)) != EOF)
                putc(c, out);
        fclose(in);
        return 0;
}

static int write_manual(const struct conf_vocabulary *vocabulary, FILE *out)
{
        if (copy("packaging/man/coapd.conf.5.head", out))
                return 1;
        config_write_manual(vocabulary, out);
        return copy("packaging/man/coapd.conf.5.tail", out);
}

int main(int argc, char **argv)
{
        const struct conf_vocabulary *vocabulary = settings_vocabulary();
        FILE *out;

        if (argc != 2 || chdir(argv[1]) < 0) {
                fprintf(stderr, "usage: coapd-docgen SOURCE-FOLDER\n");
                return 2;
        }
        out = fopen("conf/coapd.conf", "w");
        if (!out)
                return failed("conf/coapd.conf");
        config_write_sample(vocabulary, out);
        if (fclose(out))
                return failed("conf/coapd.conf");
        out = fopen("packaging/man/coapd.conf.5", "w");
        if (!out || write_manual(vocabulary, out) || fclose(out))
                return failed("packaging/man/coapd.conf.5");
        return 0;
}
