/* SPDX-License-Identifier: BSD-2-Clause */
/* coapd(8): arguments in, exit code out. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "coapd_version.h"
#include "persist/dump.h"
#include "persist/persist.h"
#include "server.h"
#include "service_user.h"
#include "settings.h"

#define OUR_CONFIG COAPD_SYSCONFDIR "/coapd.conf"

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
        fputs("usage: coapd [-c FILE]\n"
              "       coapd [-c FILE] --check\n"
              "       coapd [-c FILE] --explain METHOD PATH SUBJECT\n"
              "       coapd [-c FILE] --dump-state [--json]\n"
              "\n"
              "  -c, --config FILE  read this file instead of " COAPD_SYSCONFDIR "/coapd.conf\n"
              "      --check        read the config and all that it names, print every error, and exit:\n"
              "                     0 it is valid, 1 it is not\n"
              "      --explain      say which access rule decides when SUBJECT (anyone, psk:ID, "
              "cert:CN=NAME,\n"
              "                     rpk:HASH, oscore:ID, net:ADDRESS) uses METHOD (or OBSERVE, CREATE;\n"
              "                     several with commas between them) on PATH:\n"
              "                     0 it is allowed, 1 it is not\n"
              "      --dump-state   print the dynamic resources, observers and Observe counters that are "
              "stored,\n"
              "                     also while the daemon runs\n"
              "      --json         --dump-state: as JSON\n"
              "  -V, --version      print the version and exit\n"
              "  -h, --help         print this help and exit\n"
              "\n"
              "See coapd(8) and coapd.conf(5).\n",
              out);
}

/* The whole of the usage would push what is wrong off the screen. */
static int try_help(void)
{
        fputs("coapd --help tells what there is\n", stderr);
        return EXIT_USAGE;
}

static int check_arguments(const struct arguments *args)
{
        if (args->command == COMMAND_EXPLAIN && args->n_operands != 3)
                fputs("coapd: --explain takes METHOD PATH SUBJECT, such as GET /time psk:sensor-1\n", stderr);
        else if (args->command != COMMAND_EXPLAIN && args->n_operands)
                fprintf(stderr, "coapd: unexpected argument: %s\n", args->operands[0]);
        else if (args->json && args->command != COMMAND_DUMP_STATE)
                fputs("coapd: --json belongs to --dump-state\n", stderr);
        else
                return -1;
        return try_help();
}

/* Returns -1 to go on, or the exit code. */
static int parse_arguments(int argc, char *argv[], struct arguments *args)
{
        enum { OPTION_CHECK = 256, OPTION_EXPLAIN, OPTION_DUMP_STATE, OPTION_JSON };
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "check", no_argument, NULL, OPTION_CHECK },
                { "explain", no_argument, NULL, OPTION_EXPLAIN },
                { "dump-state", no_argument, NULL, OPTION_DUMP_STATE },
                { "json", no_argument, NULL, OPTION_JSON },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int option;

        while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
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
                case 'V':
                        puts("coapd " COAPD_VERSION);
                        return EXIT_GOOD;
                case 'h':
                        print_usage(stdout);
                        return EXIT_GOOD;
                default:
                        return try_help();
                }
        }
        args->operands = argv + optind;
        args->n_operands = argc - optind;
        return check_arguments(args);
}

/* The service's own file, checked by root by hand: root can read what the service cannot. */
static bool service_can_read(const char *file, const struct config *config)
{
        char user[64];

        return strcmp(file, OUR_CONFIG) != 0 || !service_user_become(user, sizeof(user)) ||
               config_find_unreadable(config, user, stderr) == 0;
}

static int check(const char *file)
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };

        if (settings_load(file, stderr, &settings) < 0 || !service_can_read(file, settings.config) ||
            persist_check(settings.config, stderr) < 0)
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
        struct arguments args = { .file = OUR_CONFIG };
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
