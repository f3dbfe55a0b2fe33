/* SPDX-License-Identifier: BSD-2-Clause */
/* coapd(8): arguments in, exit code out. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "coapd_version.h"
#include "persist/dump.h"
#include "server.h"
#include "settings.h"

enum exit_code { EXIT_GOOD = 0, EXIT_INVALID = 1, EXIT_USAGE = 2 };

enum command { COMMAND_RUN, COMMAND_CHECK, COMMAND_EXPLAIN, COMMAND_DUMP_STATE };

struct arguments {
        const char *file;
        enum command command;
        bool json;
        char **operands;
        int n_operands;
};

static void print_usage(FILE *out)
{
        fputs("usage: coapd [-c FILE] [--check]\n"
              "       coapd [-c FILE] --explain METHOD PATH SUBJECT\n"
              "       coapd [-c FILE] --dump-state [--json]\n"
              "\n"
              "  -c, --config FILE  read this file instead of " COAPD_SYSCONFDIR "/coapd.conf\n"
              "      --check        read the config and all that it names, print every error, and exit:\n"
              "                     0 it is valid, 1 it is not\n"
              "      --explain      say which access rule decides when SUBJECT (anyone, psk:ID, "
              "cert:CN=NAME,\n"
              "                     oscore:ID, net:ADDRESS) uses METHOD (or OBSERVE, CREATE) on PATH:\n"
              "                     0 it is allowed, 1 it is not\n"
              "      --dump-state   print the dynamic resources, observers and Observe counters that are "
              "stored,\n"
              "                     also while the daemon runs\n"
              "      --json         as JSON\n"
              "      --version      print the version and exit\n"
              "  -h, --help         print this help and exit\n"
              "\n"
              "See coapd(8) and coapd.conf(5).\n",
              out);
}

/* Returns -1 to go on, or the exit code. */
static int parse_arguments(int argc, char *argv[], struct arguments *args)
{
        enum { OPTION_CHECK = 256, OPTION_EXPLAIN, OPTION_DUMP_STATE, OPTION_JSON, OPTION_VERSION };
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "check", no_argument, NULL, OPTION_CHECK },
                { "explain", no_argument, NULL, OPTION_EXPLAIN },
                { "dump-state", no_argument, NULL, OPTION_DUMP_STATE },
                { "json", no_argument, NULL, OPTION_JSON },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int option;

        while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
                switch (option) {
                case 'c':
                        args->file = optarg;
                        break;
                case OPTION_CHECK:
                        args->command = COMMAND_CHECK;
                        break;
                case OPTION_EXPLAIN:
                        args->command = COMMAND_EXPLAIN;
                        break;
                case OPTION_DUMP_STATE:
                        args->command = COMMAND_DUMP_STATE;
                        break;
                case OPTION_JSON:
                        args->json = true;
                        break;
                case OPTION_VERSION:
                        puts("coapd " COAPD_VERSION);
                        return EXIT_GOOD;
                case 'h':
                        print_usage(stdout);
                        return EXIT_GOOD;
                default:
                        print_usage(stderr);
                        return EXIT_USAGE;
                }
        }
        args->operands = argv + optind;
        args->n_operands = argc - optind;
        if (args->n_operands == (args->command == COMMAND_EXPLAIN ? 3 : 0))
                return -1;
        fprintf(stderr, "coapd: %s\n",
                args->command == COMMAND_EXPLAIN ? "--explain takes METHOD PATH SUBJECT"
                                                 : "unexpected argument");
        print_usage(stderr);
        return EXIT_USAGE;
}

static int check(const char *file)
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };

        if (settings_load(file, stderr, &settings) < 0)
                return EXIT_INVALID;
        printf("%s: valid\n", file);
        return EXIT_GOOD;
}

static int explain(const char *file, char *const operands[])
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };
        int r;

        if (settings_load(file, stderr, &settings) < 0)
                return EXIT_INVALID;
        r = settings_explain(&settings, operands[0], operands[1], operands[2], stdout);
        return r < 0 ? EXIT_USAGE : r ? EXIT_INVALID : EXIT_GOOD;
}

static int dump_state(const char *file, bool json)
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };

        if (settings_load(file, stderr, &settings) < 0)
                return EXIT_INVALID;
        return persist_dump(&settings.config->persist, json, stdout, stderr) < 0 ? EXIT_INVALID : EXIT_GOOD;
}

int main(int argc, char *argv[])
{
        struct arguments args = { .file = COAPD_SYSCONFDIR "/coapd.conf" };
        int code = parse_arguments(argc, argv, &args);

        if (code >= 0)
                return code;
        log_open();
        switch (args.command) {
        case COMMAND_CHECK:
                return check(args.file);
        case COMMAND_EXPLAIN:
                return explain(args.file, args.operands);
        case COMMAND_DUMP_STATE:
                return dump_state(args.file, args.json);
        default:
                return server_run(args.file) < 0 ? EXIT_INVALID : EXIT_GOOD;
        }
}
