/*
 * Finishes each volfile that glusterd has written: glusterd runs what lies in the directory filter/ of its library with
 * the name of the file. Options that are the same for all volumes are put in here, because `volume set` builds and
 * checks all graphs of a volume anew for each option, on every node; and the translator goes on top of what clients
 * mount by (docs/gluster.md, docs/translator.md).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct option {
    const char *type;
    const char *name;
    const char *value;
};

/* docs/gluster.md has the reasons; a test compares. */
static const struct option options[] = {
    {"storage/posix", "reserve", "0"},
    {"storage/posix", "health-check-interval", "0"},
    {"protocol/server", "transport.tcp-user-timeout", "5"},
    {"protocol/server", "transport.socket.keepalive-time", "5"},
    {"protocol/server", "transport.socket.keepalive-interval", "1"},
    {"protocol/server", "transport.socket.keepalive-count", "5"},
    {"protocol/client", "ping-timeout", "5"},
    {"protocol/client", "transport.tcp-user-timeout", "5"},
    {"cluster/distribute", "min-free-disk", "5%"},
    {"cluster/distribute", "extra-hash-regex", "^[0-9a-f]{8}-[0-9a-f-]{27}[.]?[0-9]*([.0-9][0-9])$"},
    {"cluster/replicate", "quorum-type", "auto"},
    {"cluster/replicate", "data-self-heal-algorithm", "full"},
    {"cluster/replicate", "heal-timeout", "60"},
    {"cluster/replicate", "shd-max-threads", "4"},
    {"debug/io-stats", "log-level", "WARNING"},
};

/* Translators that clients do without. */
static const char *const left_out[] = {
    "performance/write-behind",
    "performance/quick-read",
    "performance/open-behind",
    "performance/io-threads",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define LONGEST_FILE (16 << 20)
#define MOST_LEFT_OUT 16

/* One that was left out, and what stands in its place. */
struct replaced {
    char *name;
    char *by;
};

struct work {
    FILE *out;
    bool for_clients;
    struct replaced replaced[MOST_LEFT_OUT];
    size_t count;
    char *top;
    bool has_translator;
};

static void fail(const char *what)
{
    fprintf(stderr, "sluice-volfiles: %s: %s\n", what, strerror(errno));
    exit(1);
}

static char *read_file(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0)
        fail(name);
    if (about.st_size > LONGEST_FILE) {
        errno = EFBIG;
        fail(name);
    }
    char *text = malloc((size_t)about.st_size + 1);
    if (text == NULL)
        fail(name);
    ssize_t length = 0;
    for (ssize_t got = 1; got > 0 && length < about.st_size; length += got)
        if ((got = read(fd, text + length, (size_t)(about.st_size - length))) < 0)
            fail(name);
    text[length] = '\0';
    close(fd);
    return text;
}

/* The word behind a keyword at the beginning of a line, which ends where the next blank or line begins; or NULL. */
static char *word_after(const char *line, const char *keyword)
{
    line += strspn(line, " \t");
    size_t length = strlen(keyword);
    if (strncmp(line, keyword, length) != 0 || (line[length] != ' ' && line[length] != '\t'))
        return NULL;
    line += length;
    line += strspn(line, " \t");
    return strndup(line, strcspn(line, " \t\n"));
}

static bool begins_with(const char *line, const char *keyword)
{
    char *word = word_after(line, keyword);
    bool does = word != NULL;
    free(word);
    return does;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line == '\n' ? line + 1 : line;
}

/* Of the part that begins here: `volume NAME` to `end-volume`. */
static const char *end_of(const char *part)
{
    for (const char *line = part; *line != '\0'; line = next_line(line))
        if (strncmp(line + strspn(line, " \t"), "end-volume", strlen("end-volume")) == 0)
            return next_line(line);
    return NULL;
}

static char *found_in(const char *part, const char *end, const char *keyword)
{
    for (const char *line = part; line < end; line = next_line(line)) {
        char *word = word_after(line, keyword);
        if (word != NULL)
            return word;
    }
    return NULL;
}

static const char *in_place_of(const struct work *work, const char *name)
{
    for (size_t i = 0; i < work->count; i++)
        if (strcmp(work->replaced[i].name, name) == 0)
            return work->replaced[i].by;
    return name;
}

static void put_subvolumes(const struct work *work, const char *line)
{
    fputs("    subvolumes", work->out);
    line += strspn(line, " \t") + strlen("subvolumes");
    for (line += strspn(line, " \t"); *line != '\n' && *line != '\0'; line += strspn(line, " \t")) {
        size_t length = strcspn(line, " \t\n");
        char *name = strndup(line, length);
        if (name == NULL)
            fail("memory");
        fprintf(work->out, " %s", in_place_of(work, name));
        free(name);
        line += length;
    }
    fputc('\n', work->out);
}

static bool is_ours(const char *type, const char *line)
{
    char *name = word_after(line, "option");
    bool ours = false;
    for (size_t i = 0; name != NULL && i < COUNT(options); i++)
        ours |= strcmp(options[i].type, type) == 0 && strcmp(options[i].name, name) == 0;
    free(name);
    return ours;
}

static void put_options(const struct work *work, const char *type)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (strcmp(options[i].type, type) == 0)
            fprintf(work->out, "    option %s %s\n", options[i].name, options[i].value);
}

static void put_part(const struct work *work, const char *part, const char *end, const char *type)
{
    for (const char *line = part; line < end; line = next_line(line)) {
        if (begins_with(line, "subvolumes"))
            put_subvolumes(work, line);
        else if (!is_ours(type, line))
            fwrite(line, 1, (size_t)(next_line(line) - line), work->out);
        if (begins_with(line, "type"))
            put_options(work, type);
    }
}

static void replace(struct work *work, const char *name, const char *by)
{
    struct replaced one = {strdup(name), strdup(by)};
    if (one.name == NULL || one.by == NULL)
        fail("memory");
    work->replaced[work->count++] = one;
}

/* The translator in its other role, right above the disk. */
static void put_above_disk(struct work *work, const char *disk)
{
    char *name;
    if (asprintf(&name, "%s-sluice-io", disk) < 0)
        fail("memory");
    fprintf(work->out, "volume %s\n    type features/sluice-io\n    option role brick\n    subvolumes %s\nend-volume\n\n",
            name, disk);
    replace(work, disk, name);
    free(name);
}

/* Whether clients do without it: only what has one translator below it can be left out. */
static bool leave_out(struct work *work, const char *part, const char *end, const char *name, const char *type)
{
    bool unwanted = false;
    for (size_t i = 0; work->for_clients && i < COUNT(left_out); i++)
        unwanted |= strcmp(left_out[i], type) == 0;
    char *below = unwanted ? found_in(part, end, "subvolumes") : NULL;
    if (below == NULL || work->count == MOST_LEFT_OUT) {
        free(below);
        return false;
    }
    replace(work, name, in_place_of(work, below));
    free(below);
    return true;
}

static void take(struct work *work, const char *part, const char *end)
{
    char *name = found_in(part, end, "volume");
    char *type = found_in(part, end, "type");
    if (name == NULL || type == NULL) {
        errno = EINVAL;
        fail("a part without name or type");
    }
    if (!leave_out(work, part, end, name, type)) {
        put_part(work, part, end, type);
        fputc('\n', work->out);
        free(work->top);
        work->top = strdup(name);
        if (strcmp(type, "storage/posix") == 0 && !work->has_translator)
            put_above_disk(work, name);
    }
    free(name);
    free(type);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), of_end = strlen(end);
    return length >= of_end && strcmp(text + length - of_end, end) == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s VOLFILE\n", argv[0]);
        return 2;
    }
    char *text = read_file(argv[1]);
    char *fresh;
    if (asprintf(&fresh, "%s.sluice", argv[1]) < 0)
        fail("memory");
    struct work work = {.out = fopen(fresh, "we")};
    if (work.out == NULL)
        fail(fresh);
    /* A brick has a queue of its own before its disk, which stays. */
    work.has_translator = strstr(text, "type features/sluice-io\n") != NULL;
    work.for_clients = strstr(text, "type storage/posix\n") == NULL;
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        if (!begins_with(line, "volume"))
            continue;
        const char *end = end_of(line);
        if (end == NULL) {
            unlink(fresh);
            errno = EINVAL;
            fail(argv[1]);
        }
        take(&work, line, end);
        line = end - 1;
    }
    if (ends_with(argv[1], "-fuse.vol") && !work.has_translator && work.top != NULL)
        fprintf(work.out, "volume %s-sluice-io\n    type features/sluice-io\n    subvolumes %s\nend-volume\n", work.top,
                work.top);
    /* In one step: a client that asks at this moment gets the one file or the other. */
    if (fflush(work.out) != 0 || fclose(work.out) != 0 || chmod(fresh, 0600) < 0 || rename(fresh, argv[1]) < 0) {
        unlink(fresh);
        fail(argv[1]);
    }
    return 0;
}
