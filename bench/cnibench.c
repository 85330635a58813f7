/*
 * Calls chains of CNI plugins as a runtime does, and measures what each ADD and DEL costs on the clock.
 *
 *   cnibench one-by-one|at-once COUNT NETNS_PREFIX FIRST_PORT PLUGIN CONF [PLUGIN CONF]...
 *
 * Container i has the namespace NETNS_PREFIX<i>; "@PORT@" in a configuration becomes FIRST_PORT + i. All are
 * added, then all are deleted, in the reverse order of plugins; each plugin is given the result of the one
 * before it, and at DEL the final one, as the specification wants ('Network configuration lists'). CNI_PATH and
 * CNI_ARGS are handed on. Prints one JSON object with milliseconds per container and verb. In C, because a
 * runtime that needs 10 ms to start a process would measure itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  MOST_CONTAINERS = 256,
  MOST_PLUGINS = 8,
  /* Also the size of a pipe, so that a configuration is written before anybody reads it. */
  MOST_BYTES = 65536,
  LONGEST_SECONDS = 120,
};

struct plugin {
  const char *path;
  char *conf;
};

/* Shared with the processes that act for containers when all are added at once. */
struct container {
  double add_ms;
  double del_ms;
  char result[MOST_BYTES];
};

static struct plugin plugins[MOST_PLUGINS];
static int plugin_count;
static const char *netns_prefix;
static int first_port;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("cnibench: ", stderr);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static char *read_file(const char *path) {
  char *text = calloc(1, MOST_BYTES);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (!text || fd < 0) fail("cannot open %s: %s", path, strerror(errno));
  ssize_t length = read(fd, text, MOST_BYTES - 1);
  if (length <= 0 || text[0] != '{') fail("%s does not hold a JSON object", path);
  close(fd);
  return text;
}

/* The plugin's own configuration with the port filled in and, if there is one, the result so far. */
static void write_conf(char *out, const struct plugin *plugin, int index, const char *previous) {
  static const char PORT[] = "\"@PORT@\"";
  const char *rest = plugin->conf + 1;
  const char *port = strstr(rest, PORT);
  int before = port ? (int)(port - rest) : (int)strlen(rest);
  char number[16] = "";
  if (port) snprintf(number, sizeof(number), "%d", first_port + index);
  int length = snprintf(out, MOST_BYTES, "{%s%s%s%.*s%s%s", *previous ? "\"prevResult\":" : "", previous,
                        *previous ? "," : "", before, rest, number, port ? port + strlen(PORT) : "");
  if (length >= MOST_BYTES) fail("the configuration of %s is too long", plugin->path);
}

static void open_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC)) fail("cannot make a pipe: %s", strerror(errno));
}

static pid_t start(const struct plugin *plugin, int index, const char *verb, int input, int output) {
  char command[32], id[64], netns[256], path[256], args[256];
  snprintf(command, sizeof(command), "CNI_COMMAND=%s", verb);
  snprintf(id, sizeof(id), "CNI_CONTAINERID=bench-%d", index);
  snprintf(netns, sizeof(netns), "CNI_NETNS=%s%d", netns_prefix, index);
  snprintf(path, sizeof(path), "CNI_PATH=%s", getenv("CNI_PATH") ?: "");
  snprintf(args, sizeof(args), "CNI_ARGS=%s", getenv("CNI_ARGS") ?: "");
  char *environment[] = {command, id, netns, path, args, "CNI_IFNAME=eth0", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  char *words[] = {(char *)plugin->path, NULL};

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  pid_t pid;
  int error = posix_spawn(&pid, plugin->path, &files, NULL, words, environment);
  if (error) fail("cannot start %s: %s", plugin->path, strerror(error));
  posix_spawn_file_actions_destroy(&files);
  return pid;
}

/* Runs one plugin to its end and leaves what it said in `answer`. */
static void call(const struct plugin *plugin, int index, const char *verb, const char *previous, char *answer) {
  static char conf[MOST_BYTES];
  int to[2], from[2];
  open_pipe(to);
  open_pipe(from);
  write_conf(conf, plugin, index, previous);
  if (write(to[1], conf, strlen(conf)) != (ssize_t)strlen(conf)) fail("cannot write the configuration");
  close(to[1]);
  pid_t pid = start(plugin, index, verb, to[0], from[1]);
  close(to[0]);
  close(from[1]);

  size_t length = 0;
  for (ssize_t more; length < MOST_BYTES - 1; length += (size_t)more) {
    more = read(from[0], answer + length, MOST_BYTES - 1 - length);
    if (more <= 0) break;
  }
  answer[length] = '\0';
  close(from[0]);
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
  if (status) fail("%s of container %d by %s failed: %s", verb, index, plugin->path, answer);
}

static void add(struct container *container, int index) {
  static char answer[MOST_BYTES];
  double start_ms = now_ms();
  container->result[0] = '\0';
  for (int i = 0; i < plugin_count; i++) {
    call(&plugins[i], index, "ADD", container->result, answer);
    memcpy(container->result, answer, MOST_BYTES);
  }
  container->add_ms = now_ms() - start_ms;
}

static void del(struct container *container, int index) {
  static char answer[MOST_BYTES];
  double start_ms = now_ms();
  for (int i = plugin_count - 1; i >= 0; i--) call(&plugins[i], index, "DEL", container->result, answer);
  container->del_ms = now_ms() - start_ms;
}

typedef void verb(struct container *container, int index);

static void one_by_one(struct container *containers, int count, verb *act) {
  for (int i = 0; i < count; i++) act(&containers[i], i);
}

/* A process per container; all wait for the same pipe to be closed. */
static void at_once(struct container *containers, int count, verb *act) {
  int gate[2];
  open_pipe(gate);
  fflush(NULL);
  for (int i = 0; i < count; i++) {
    pid_t child = fork();
    if (child < 0) fail("cannot fork: %s", strerror(errno));
    if (child > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(gate[1]);
    struct pollfd closed = {.fd = gate[0]};
    poll(&closed, 1, -1);
    act(&containers[i], i);
    exit(0);
  }
  close(gate[0]);
  close(gate[1]);
  bool failed = false;
  for (int i = 0, status; i < count; i++) {
    if (wait(&status) < 0 || status) failed = true;
  }
  if (failed) fail("not all containers could be served");
}

static double timed(void (*run)(struct container *, int, verb *), struct container *containers, int count, verb *act) {
  double start_ms = now_ms();
  run(containers, count, act);
  return now_ms() - start_ms;
}

static void print_times(const char *name, const struct container *containers, int count, bool del_times) {
  printf("\"%s\":[", name);
  for (int i = 0; i < count; i++) {
    printf("%s%.3f", i ? "," : "", del_times ? containers[i].del_ms : containers[i].add_ms);
  }
  printf("],");
}

static int parse_int(const char *text, int least, int most) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || *end || value < least || value > most) fail("'%s' is not a number from %d to %d", text, least, most);
  return (int)value;
}

int main(int count, char **words) {
  if (count < 7 || (count - 5) % 2 || (count - 5) / 2 > MOST_PLUGINS) {
    fputs("usage: cnibench one-by-one|at-once COUNT NETNS_PREFIX FIRST_PORT PLUGIN CONF [PLUGIN CONF]...\n", stderr);
    return 2;
  }
  bool together = !strcmp(words[1], "at-once");
  if (!together && strcmp(words[1], "one-by-one")) fail("'%s' is neither one-by-one nor at-once", words[1]);
  int wanted = parse_int(words[2], 1, MOST_CONTAINERS);
  netns_prefix = words[3];
  first_port = parse_int(words[4], 1, 65535 - MOST_CONTAINERS);
  for (int i = 5; i < count; i += 2) {
    plugins[plugin_count++] = (struct plugin){.path = words[i], .conf = read_file(words[i + 1])};
  }
  size_t bytes = (size_t)wanted * sizeof(struct container);
  struct container *containers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (containers == MAP_FAILED) fail("no memory");
  alarm(LONGEST_SECONDS);

  double add_ms = timed(together ? at_once : one_by_one, containers, wanted, add);
  double del_ms = timed(together ? at_once : one_by_one, containers, wanted, del);
  putchar('{');
  print_times("addMs", containers, wanted, false);
  print_times("delMs", containers, wanted, true);
  printf("\"allAddMs\":%.3f,\"allDelMs\":%.3f}\n", add_ms, del_ms);
  return 0;
}
