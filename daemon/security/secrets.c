/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of keys, read with the checks that a careless chmod calls for.
 */
#include "security/secrets.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/credential.h"
#include "base/percent.h"
#include "base/util.h"

#define FILE_MAX (4 << 20) /* a bundle of authorities or a long revocation list still fits */

void secret_deinit(struct secret *secret)
{
        if (secret->p)
                explicit_bzero(secret->p, secret->n);
        free(secret->p);
        *secret = (struct secret){ 0 };
}

void key_error(struct key_errors *errors, struct conf_origin at, const char *key, const char *fmt, ...)
{
        va_list args;

        if (at.file && at.line)
                fprintf(errors->out, "%s:%u: ", at.file, at.line);
        else
                fprintf(errors->out, "%s: ", at.file ? at.file : errors->config->file);
        fprintf(errors->out, "%s%s%s: ", errors->group, *key ? "." : "", key);
        va_start(args, fmt);
        vfprintf(errors->out, fmt, args);
        va_end(args);
        fputc('\n', errors->out);
        errors->n++;
}

static int read_all(int fd, size_t size, struct secret *ret_secret)
{
        struct secret secret = { malloc(size + 1), size };
        size_t done = 0;

        if (!secret.p)
                return -ENOMEM;
        while (done < size) {
                ssize_t n = read(fd, secret.p + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        int r = n < 0 ? -errno : -EIO;

                        secret_deinit(&secret);
                        return r;
                }
                done += (size_t)n;
        }
        secret.p[size] = '\0';
        *ret_secret = secret;
        return 0;
}

int secret_read_file(const char *path, bool private, struct key_errors *errors, struct conf_origin at,
                     const char *key, struct secret *ret_secret)
{
        CLEANUP(closep) int fd = -1;
        struct stat status;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &status) < 0) {
                r = -errno;
                key_error(errors, at, key, "%s: %s, expected a file that coapd can read", path, strerror(-r));
                return r;
        }
        if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX || status.st_size == 0) {
                key_error(errors, at, key, "%s is not a regular file of 1 byte to 4 MiB, expected one", path);
                return -EINVAL;
        }
        if (private && status.st_mode & S_IRWXO && !credential_is_stored(path)) {
                key_error(errors, at, key,
                          "%s is open to every user, expected a file without access for others (chmod o= %s)",
                          path, path);
                return -EPERM;
        }
        r = read_all(fd, (size_t)status.st_size, ret_secret);
        if (r < 0)
                key_error(errors, at, key, "%s: %s, expected a file that coapd can read", path, strerror(-r));
        return r;
}

int secret_from_hex(const char *digits, struct secret *ret_secret)
{
        CLEANUP(secret_deinit) struct secret secret = { calloc(1, strlen(digits) / 2 + 1), 0 };
        size_t n = 0;

        if (!secret.p)
                return -ENOMEM;
        for (; *digits; digits++) {
                int digit = hex_digit((uint8_t)*digits);

                if (isspace((unsigned char)*digits))
                        continue;
                if (digit < 0)
                        return -EINVAL;
                secret.p[n / 2] = (uint8_t)(secret.p[n / 2] << 4 | digit);
                secret.n = ++n / 2;
        }
        if (n % 2)
                return -EINVAL;
        *ret_secret = secret;
        secret.p = NULL;
        return 0;
}

int secret_from_text(const char *text, struct secret *ret_secret)
{
        size_t n = strlen(text);
        uint8_t *p = malloc(n + 1);

        if (!p)
                return -ENOMEM;
        memcpy(p, text, n + 1);
        *ret_secret = (struct secret){ p, n };
        return 0;
}

bool secrets_equal(const struct secret *a, const struct secret *b)
{
        unsigned difference = a->n != b->n;

        for (size_t i = 0; i < MIN(a->n, b->n); i++)
                difference |= a->p[i] ^ b->p[i];
        return difference == 0;
}
