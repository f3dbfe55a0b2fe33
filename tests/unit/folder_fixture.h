/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder in /tmp for the files of a test program, which a script makes once: keys, certificates. */
#ifndef COAPD_FOLDER_FIXTURE_H
#define COAPD_FOLDER_FIXTURE_H

/* Its name; "" while there is none. */
extern char test_folder[64];

/* Runs the script in it, by sh. Returns 0 when all went well. */
int test_folder_make(const char *script);

/* With all that is in it. */
int test_folder_remove(void);

/* The path of a file in it. Lives until many more have been asked for. */
char *in_folder(const char *name);

#endif
