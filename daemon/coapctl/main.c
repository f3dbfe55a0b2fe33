/* SPDX-License-Identifier: BSD-2-Clause */
/* coapctl(8): shows what a running coapd does, and tells it what to do. */
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "coapd_version.h"
#include "commands.h"

enum exit_code { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum operand { NONE, OPTIONAL, REQUIRED };

static const struct command {
        const char *name;
        enum operand operand;
        int (*run)(const struct call *call); /* NULL: it needs no running daemon */
        const char *synopsis;
        const char *help;
} commands[] = {
        { "status", NONE, command_status, "status", "what there is and what has happened since the start" },
        { "metrics", NONE, command_metrics, "metrics",
          "the numbers of status in the text format of Prometheus" },
        { "endpoints", NONE, command_endpoints, "endpoints",
          "where the daemon listens, and what is lost there" },
        { "sessions", NONE, command_sessions, "sessions",
          "clients, the newest first, with what they proved to be" },
        { "observers", OPTIONAL, command_observers, "observers [PATH]",
          "who observes what, at PATH and below" },
        { "resources", OPTIONAL, command_resources, "resources [PATH]", "resources at PATH and below" },
        { "dump", NONE, command_dump, "dump", "dynamic resources with their content, as JSON" },
        { "import", OPTIONAL, command_import, "import [FILE]", "make the resources of a dump" },
        { "notify", REQUIRED, command_notify, "notify PATH",
          "send observers the present state of a resource" },
        { "reload", NONE, command_reload, "reload", "read the configuration again, all or nothing" },
        { "check", OPTIONAL, NULL, "check [FILE]", "check a configuration, as coapd --check" },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
        fputs("usage: coapctl [OPTIONS] COMMAND [OPERAND]\n\n", out);
        for (size_t i = 0; i < N_COMMANDS; i++)
                fprintf(out, "  %-18s %s\n", commands[i].synopsis, commands[i].help);
        fputs("\n"
              "  -s, --socket PATH  the daemon's server.control instead of " COAPD_CONTROL_SOCKET "\n"
              "      --json         listings and status as JSON\n"
              "      --count        observers: how many each resource has\n"
              "  -V, --version      print the version and exit\n"
              "  -h, --help         print this help and exit\n"
              "\n"
              "See coapctl(8).\n",
              out);
}

static const struct command *find(const char *name)
{
        for (size_t i = 0; i < N_COMMANDS; i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        return NULL;
}

/* The whole of the usage would push what is wrong off the screen. */
static int try_help(void)
{
        fputs("coapctl --help tells what there is\n", stderr);
        return EXIT_USAGE;
}

static int complain(const char *about, const char *what)
{
        fprintf(stderr, "coapctl: %s: %s\n", about, what);
        return try_help();
}

static int run(const struct command *command, const char *socket, struct call *call)
{
        CLEANUP(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int code;

        if (!command->run)
                return become_check(call->argument);
        if (command->run == command_reload && getenv("MAINPID") && access(socket, F_OK) < 0)
                return reload_by_signal(getenv("MAINPID"));
        if (call_connect(socket, &link) < 0)
                return EXIT_FAILED;
        call->link = link;
        code = command->run(call);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                perror("coapctl: standard output");
                return EXIT_FAILED;
        }
        return code;
}

int main(int argc, char *argv[])
{
        enum { OPTION_JSON = 256, OPTION_COUNT };
        static const struct option options[] = {
                { "socket", required_argument, NULL, 's' },   { "json", no_argument, NULL, OPTION_JSON },
                { "count", no_argument, NULL, OPTION_COUNT }, { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },           { 0 },
        };
        const char *socket = COAPD_CONTROL_SOCKET;
        const struct command *command;
        struct call call = { 0 };
        int option;

        setlocale(LC_CTYPE, "");
        while ((option = getopt_long(argc, argv, "s:hV", options, NULL)) != -1) {
                switch (option) {
                case 's':
                        socket = optarg;
                        break;
                case OPTION_JSON:
                        call.json = true;
                        break;
                case OPTION_COUNT:
                        call.count = true;
                        break;
                case 'V':
                        puts("coapctl " COAPD_VERSION);
                        return EXIT_GOOD;
                case 'h':
                        print_usage(stdout);
                        return EXIT_GOOD;
                default:
                        return try_help();
                }
        }
        if (optind == argc) {
                print_usage(stderr);
                return EXIT_USAGE;
        }
        command = find(argv[optind]);
        if (!command)
                return complain(argv[optind], "no such command");
        call.argument = argv[optind + 1];
        if (argc - optind > (command->operand == NONE ? 1 : 2))
                return complain(command->name, "too many operands");
        if (command->operand == REQUIRED && !call.argument)
                return complain(command->name, "an operand is missing");
        return run(command, socket, &call);
}
