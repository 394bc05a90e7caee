/* beckonctl keygen: the keys that connectors and brokers prove themselves with (CURVE). One command
 * makes what an installation needs, in the form that ZeroMQ's own tools read and write, and says
 * what goes where. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "command.h"
#include "common/auto.h"
#include "common/curve_key.h"
#include "common/topic.h"

#define CLIENT_DEFAULT "connector"
#define PATH_SIZE 4096

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"client", required_argument, NULL, 'c'},
    {"force", no_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: beckonctl keygen --dir DIR [--force]\n"
    "       beckonctl keygen --dir DIR --client NAME [--force]\n"
    "Makes the keys of the link between connectors and brokers, and prints where they go.\n\n"
    "  --dir DIR      where the files go; made if it is missing\n"
    "  --client NAME  the key pair of one more connector, and nothing for the broker\n"
    "  --force        replace files that are there: whoever has the old keys must get the new\n\n"
    "  DIR/broker.key              the broker's key pair: secret\n"
    "  DIR/broker.pub              its public key, for every connector\n"
    "  DIR/connector.key           a connector's key pair: secret (with --client: NAME.key)\n"
    "  DIR/clients/connector.pub   its public key, for the broker\n";

struct arguments {
    const char *dir, *client;
    bool force;
};

/* COMMAND_END, or what command_ended takes. */
static int read_arguments(const struct command *self, int argc, char **argv,
                          struct arguments *arguments)
{
    int option;

    while ((option = command_next(self, argc, argv)) >= 0) {
        switch (option) {
        case 'd':
            arguments->dir = optarg;
            break;
        case 'c':
            arguments->client = optarg;
            break;
        default:
            arguments->force = true;
        }
    }
    return option;
}

static int make_folder(const char *path, struct err_text *et)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return err_set(et, ERR_IO, "could not make folder \"%s\": %m", path);
}

/* DIR/[clients/]NAMESUFFIX. */
static int path_of(char path[PATH_SIZE], const char *dir, const char *name, const char *suffix,
                   struct err_text *et)
{
    if (snprintf(path, PATH_SIZE, "%s/%s%s", dir, name, suffix) < PATH_SIZE)
        return 0;
    return err_set(et, ERR_INVALID, "\"%s\" is too long a path", dir);
}

static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t written = write(fd, text, len);

        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            text += written;
            len -= (size_t)written;
        }
    }
    return fsync(fd);
}

/* Whole or not at all: a file beside it that then gets the name. */
static int write_file(const char *path, const char *text, mode_t mode, bool force,
                      struct err_text *et)
{
    char temporary[PATH_SIZE + 8];
    int r = 0;

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    unlink(temporary); /* of a run that was interrupted */
    AUTO_CLOSE int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(et, ERR_IO, "could not make \"%s\": %m", temporary);
    if (write_all(fd, text) < 0)
        r = err_set(et, ERR_IO, "could not write \"%s\": %m", temporary);
    else if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, force ? 0 : RENAME_NOREPLACE) < 0)
        r = errno == EEXIST
                ? err_set(et, ERR_EXISTS, "\"%s\" is there already; --force replaces it", path)
                : err_set(et, ERR_IO, "could not make \"%s\": %m", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

/* name.key in dir, and name.pub in public_dir. */
static int write_pair(const char *dir, const char *public_dir, const char *name, bool force,
                      struct err_text *et)
{
    struct curve_key key;
    char text[512], path[PATH_SIZE];
    int r = 0;

    if (zmq_curve_keypair(key.public_key, key.secret_key) < 0)
        return err_set(et, ERR_SYSTEM, "could not make keys: %s", zmq_strerror(errno));
    snprintf(text, sizeof(text),
             "# Beckon: key pair \"%s\". Secret: for its owner alone.\n"
             "metadata\n    name = \"%s\"\n"
             "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
             name, name, key.public_key, key.secret_key);
    r = path_of(path, dir, name, ".key", et);
    if (r == 0)
        r = write_file(path, text, 0600, force, et);
    explicit_bzero(key.secret_key, sizeof(key.secret_key));
    explicit_bzero(text, sizeof(text));
    snprintf(text, sizeof(text),
             "# Beckon: public key of \"%s\".\n"
             "metadata\n    name = \"%s\"\n"
             "curve\n    public-key = \"%s\"\n",
             name, name, key.public_key);
    if (r == 0)
        r = path_of(path, public_dir, name, ".pub", et);
    return r < 0 ? r : write_file(path, text, 0644, force, et);
}

/* Before anything is written, so that half a set is not left behind. */
static int refuse_present(const char *dir, const char *public_dir, const char *name,
                          struct err_text *et)
{
    char path[PATH_SIZE];

    for (int i = 0; i < 2; i++) {
        int r = path_of(path, i == 0 ? dir : public_dir, name, i == 0 ? ".key" : ".pub", et);

        if (r < 0)
            return r;
        if (access(path, F_OK) == 0)
            return err_set(et, ERR_EXISTS, "\"%s\" is there already; --force replaces it", path);
    }
    return 0;
}

static void print_what_goes_where(const char *dir, const char *client, bool with_broker)
{
    if (with_broker)
        printf("The broker needs broker.key and clients/. In broker.conf:\n\n"
               "    listen: { curve: {\n"
               "        secret_key = \"%s/broker.key\";\n"
               "        clients = \"%s/clients\";\n"
               "    }; };\n\n",
               dir, dir);
    else
        printf(
            "The broker needs clients/%s.pub in its folder listen.curve.clients, and SIGHUP.\n\n",
            client);
    printf(
        "%s needs %s.key and broker.pub. In connector.conf:\n\n"
        "    broker: { curve: {\n"
        "        server_key = \"%s/broker.pub\";\n"
        "        secret_key = \"%s/%s.key\";\n"
        "    }; };\n\n"
        "Files *.key are secret: readable by the user that the program runs as, and nobody else.\n",
        with_broker ? "A connector" : "The connector", client, dir, dir, client);
}

static int make_keys(const struct arguments *arguments, struct err_text *et)
{
    const char *client = arguments->client ? arguments->client : CLIENT_DEFAULT;
    bool with_broker = arguments->client == NULL;
    AUTO_FREE char *clients = NULL;
    AUTO_FREE char *dir = NULL;
    int r = make_folder(arguments->dir, et);

    if (r < 0)
        return r;
    dir = realpath(arguments->dir, NULL);
    if (dir == NULL || asprintf(&clients, "%s/clients", dir) < 0) {
        clients = NULL;
        return err_set(et, ERR_IO, "could not use folder \"%s\": %m", arguments->dir);
    }
    r = make_folder(clients, et);
    if (r == 0 && !arguments->force && with_broker)
        r = refuse_present(dir, dir, "broker", et);
    if (r == 0 && !arguments->force)
        r = refuse_present(dir, clients, client, et);
    if (r == 0 && with_broker)
        r = write_pair(dir, dir, "broker", arguments->force, et);
    if (r == 0)
        r = write_pair(dir, clients, client, arguments->force, et);
    if (r == 0)
        print_what_goes_where(dir, client, with_broker);
    return r;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {0};
    int end = read_arguments(self, argc, argv, &arguments);
    struct err_text et;

    if (end != COMMAND_END)
        return command_ended(end);
    if (arguments.dir == NULL || arguments.dir[0] == '\0')
        return command_misused(self, "no folder, expected --dir DIR");
    /* A name of a file, and one that log lines show as it is. */
    if (arguments.client != NULL &&
        (!name_is_device(bytes_of_string(arguments.client)) || arguments.client[0] == '.' ||
         strcmp(arguments.client, "broker") == 0))
        return command_misused(self,
                               "--client is \"%s\", expected 1 to 64 letters, digits or any of "
                               "._~-, not a dot first, and not \"broker\"",
                               arguments.client);
    return make_keys(&arguments, &et) < 0 ? command_failed(self, "%s", et.text) : COMMAND_OK;
}

const struct command keygen_command = {
    .name = "keygen",
    .summary = "make the keys between connectors and brokers",
    .help = help,
    .options = options,
    .run = run,
};
