/* SPDX-License-Identifier: BSD-2-Clause */
/* Where there is no libFuzzer: feeds a target each file of the files and folders that are named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay(const char *file)
{
        FILE *in = fopen(file, "rb");
        uint8_t *data = NULL;
        size_t n = 0, cap = 4096;

        if (!in) {
                perror(file);
                return 1;
        }
        while (data = realloc(data, cap *= 2), data && (n += fread(data + n, 1, cap - n, in)) == cap)
                ;
        fclose(in);
        if (!data)
                return 1;
        /* Of its very size, so that a byte too far is seen. */
        data = realloc(data, n ? n : 1);
        if (data)
                LLVMFuzzerTestOneInput(data, n);
        free(data);
        return 0;
}

static int not_hidden(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder)
{
        struct dirent **entries;
        int n = scandir(folder, &entries, not_hidden, alphasort);
        int r = n <= 0;

        for (int i = 0; i < n; i++) {
                char path[4096];

                snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
                r |= replay(path);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        fprintf(stderr, "%s: %d inputs\n", folder, n);
        return r;
}

int main(int argc, char **argv)
{
        int r = 0;

        for (int i = 1; i < argc; i++) {
                struct stat status;
                int folder = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);

                r |= folder ? replay_folder(argv[i]) : replay(argv[i]);
        }
        return r;
}
