/*
 * The CNI plugin as runtimes start it: carries environment and standard input to netd and its answer
 * back. It decides nothing about networks. It is C because it runs twice per container: Node needs
 * 29 ms to start, this 1.4 ms. What it sends is documented and read in relay.ts.
 */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The same as in package.json and version.ts; a test compares them. */
#define PLUGIN_VERSION "0.1.0"
#define VERSIONS_TEXT "0.4.0, 1.0.0, 1.1.0"
#define VERSIONS_JSON "[\"0.4.0\",\"1.0.0\",\"1.1.0\"]"
#define NEWEST_VERSION "1.1.0"

#define DEFAULT_RUN_DIR "/run/sluice"

/* Far above any real configuration; containerd itself reads at most 2 MiB of files. */
#define LONGEST_INPUT (1024 * 1024)
/* A result carries prevResult back, so it can outgrow the input, but not without end. */
#define LONGEST_OUTPUT (4 * LONGEST_INPUT)
/* PATH_MAX: no path is longer. With it the request's head stays below MAX_HEADER_BYTES of relay.ts. */
#define LONGEST_VARIABLE 4096

/* A live netd accepts at once: only a full backlog or a stopped process lets a connect wait. */
#define CONNECT_MS 2000
/* Below the 2 minutes a kubelet gives a whole pod; above what netd needs for its longest queue. */
#define DEFAULT_TIMEOUT_S 60
#define LONGEST_TIMEOUT_S 600

/* Error codes of the specification (CNI 1.1, 'Error'). */
enum cni_code {
  BAD_ENVIRONMENT = 4,
  IO_FAILURE = 5,
  CANNOT_DECODE = 6,
  BAD_CONFIG = 7,
  TRY_AGAIN = 11,
  NOT_AVAILABLE = 50,
};

/* What the relay itself reads of the configuration: where to carry it, and how to spell an error. */
struct call {
  int64_t deadline;
  struct buffer input;
  char *run_dir;
  char *cni_version;
  bool is_status;
};

static const char *version_of(const struct call *call) {
  return call->cni_version != NULL && *call->cni_version != '\0' ? call->cni_version : NEWEST_VERSION;
}

static int print(const struct call *call, const struct buffer *out, int exit_code) {
  return write_all(STDOUT_FILENO, out->bytes, out->length, call->deadline) == IO_DONE ? exit_code : 1;
}

/* Prints an error of the specification. Its own deadline: the call's may be what has just passed. */
static int fail(const struct call *call, enum cni_code code, const char *message, const char *details) {
  struct buffer out = {.limit = LONGEST_OUTPUT};
  char number[32];
  snprintf(number, sizeof number, ",\"code\":%d,\"msg\":", (int)code);
  struct call last = *call;
  last.deadline = now_ms() + 1000;
  if (buffer_text(&out, "{\"cniVersion\":") && json_quote(&out, version_of(call)) &&
      buffer_text(&out, number) && json_quote(&out, message) && buffer_text(&out, ",\"details\":") &&
      json_quote(&out, details) && buffer_text(&out, "}\n")) {
    print(&last, &out, 1);
  }
  free(out.bytes);
  return 1;
}

/* netd cannot be asked. To STATUS that is 50, 'not available', by the specification; else 'try again'. */
static int away(const struct call *call, const char *socket_path, const char *what) {
  static const char details[] = "start it with 'systemctl start sluice-netd' or 'sluice up', "
                                "or see its log if it runs; then try again";
  char message[512];
  snprintf(message, sizeof message, "netd at %s %s", socket_path, what);
  return fail(call, call->is_status ? NOT_AVAILABLE : TRY_AGAIN, message, details);
}

/*
 * VERSION is answered here: it depends on nothing but this build, runtimes ask it before every other
 * verb, and while netd is away the verb itself must bring the clear error, not this question.
 */
static int answer_version(const struct call *call) {
  struct buffer out = {.limit = LONGEST_OUTPUT};
  bool well = buffer_text(&out, "{\"cniVersion\":") && json_quote(&out, version_of(call)) &&
              buffer_text(&out, ",\"supportedVersions\":" VERSIONS_JSON "}\n");
  int code = well ? print(call, &out, 0) : fail(call, IO_FAILURE, "out of memory", "free some memory");
  free(out.bytes);
  return code;
}

static int usage(void) {
  fputs("CNI plugin sluice-cni v" PLUGIN_VERSION "\n"
        "CNI protocol versions supported: " VERSIONS_TEXT "\n", stderr);
  return 0;
}

/* Without this a socket could become descriptor 0, 1 or 2 and the answer be written into it. */
static void hold_standard_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) == -1) _exit(1);
  }
}

static int64_t timeout_ms(void) {
  const char *text = getenv("SLUICE_CNI_TIMEOUT");
  char *end = NULL;
  long seconds = text != NULL ? strtol(text, &end, 10) : 0;
  bool usable = end != NULL && end != text && *end == '\0' && seconds >= 1 && seconds <= LONGEST_TIMEOUT_S;
  return 1000 * (int64_t)(usable ? seconds : DEFAULT_TIMEOUT_S);
}

/* Reads the configuration; at a terminal there is none to wait for. Returns 0, or the exit code. */
static int read_input(struct call *call) {
  static const char *const keys[] = {"runDir", "cniVersion"};
  char *values[2];
  if (isatty(STDIN_FILENO)) return 0;
  switch (read_all(STDIN_FILENO, &call->input, call->deadline)) {
    case IO_DONE:
      break;
    case IO_TOO_LARGE:
      return fail(call, CANNOT_DECODE, "the network configuration is larger than 1 MiB", "shorten it");
    case IO_TIMEOUT:
      return fail(call, IO_FAILURE, "standard input did not end in time", "close it after the configuration");
    case IO_FAILED:
      return fail(call, IO_FAILURE, strerror(errno), "give the network configuration on standard input");
  }
  json_find(call->input.bytes, call->input.length, keys, values, 2);
  call->run_dir = values[0];
  call->cni_version = values[1];
  return 0;
}

/* The path of netd's socket. Returns 0, or the exit code. */
static int find_socket(const struct call *call, struct sockaddr_un *address) {
  const char *dir = call->run_dir;
  if (dir == NULL || *dir == '\0') dir = getenv("SLUICE_RUN_DIR");
  if (dir == NULL || *dir == '\0') dir = DEFAULT_RUN_DIR;
  address->sun_family = AF_UNIX;
  int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/netd.sock", dir);
  if (*dir != '/' || length >= (int)sizeof address->sun_path) {
    return fail(call, BAD_CONFIG, "runDir must be an absolute path of at most 97 bytes",
                "correct runDir in the network configuration, or SLUICE_RUN_DIR");
  }
  return 0;
}

/* Returns a connected, non-blocking socket, or -1 with errno. */
static int connect_netd(const struct call *call, const struct sockaddr_un *address) {
  int64_t left = call->deadline - now_ms();
  int64_t bound = left < CONNECT_MS ? (left > 0 ? left : 1) : CONNECT_MS;
  struct timeval wait = {.tv_sec = bound / 1000, .tv_usec = bound % 1000 * 1000};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;
  if (fd == -1) return -1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* bounds connect(2) too: unix(7) */
  do failed = connect(fd, (const struct sockaddr *)address, sizeof *address);
  while (failed == -1 && errno == EINTR);
  if (failed == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0) return fd;
  int why = errno == EAGAIN ? ETIMEDOUT : errno;
  close(fd);
  errno = why;
  return -1;
}

/*
 * Opens the container's namespace and names the descriptor, as <pid>:<fd>, so that netd can open
 * /proc/<pid>/fd/<fd> where CNI_NETNS is a mount that only the runtime's mount namespace has.
 * The descriptor stays open until exit. O_NONBLOCK: a FIFO in that place must not hold us.
 */
static bool hold_netns(char *name, size_t size) {
  const char *path = getenv("CNI_NETNS");
  int fd = path != NULL && *path != '\0' ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
  if (fd == -1) return false;
  snprintf(name, size, "%ld:%d", (long)getpid(), fd);
  return true;
}

/* Builds the request. Returns 0, or the exit code. */
static int build_request(const struct call *call, struct buffer *request) {
  static const struct header variables[] = {
      {"Cni-Command", "CNI_COMMAND"},   {"Cni-Containerid", "CNI_CONTAINERID"},
      {"Cni-Netns", "CNI_NETNS"},       {"Cni-Ifname", "CNI_IFNAME"},
      {"Cni-Args", "CNI_ARGS"},         {"Cni-Path", "CNI_PATH"},
      {"Cni-Netns-Override", "CNI_NETNS_OVERRIDE"},
  };
  enum { VARIABLES = sizeof variables / sizeof *variables };
  struct header headers[VARIABLES + 1];
  size_t count = 0;
  char netns[64], message[128];
  for (size_t i = 0; i < VARIABLES; i++) {
    const char *text = getenv(variables[i].value);
    if (text == NULL) continue;
    if (strlen(text) > LONGEST_VARIABLE) {
      snprintf(message, sizeof message, "%s is longer than %d bytes", variables[i].value, LONGEST_VARIABLE);
      return fail(call, BAD_ENVIRONMENT, message, "shorten it");
    }
    headers[count++] = (struct header){variables[i].name, text};
  }
  if (hold_netns(netns, sizeof netns)) headers[count++] = (struct header){"Cni-Netns-Fd", netns};
  if (http_request(request, "/cni", headers, count, &call->input)) return 0;
  return fail(call, IO_FAILURE, "out of memory", "free some memory");
}

/* Sends the request, then reads until the answer is whole; `what` is why it never was, or NULL. */
static const char *exchange(const struct call *call, int fd, const struct buffer *request, int *status,
                            struct buffer *body) {
  struct buffer response = {.limit = LONGEST_OUTPUT};
  const char *what = NULL;
  enum http state = HTTP_MORE;
  bool end = false;
  /* A server may refuse before it has read everything: then sending ends or fails, yet an answer is there. */
  if (send_all(fd, request->bytes, request->length, call->deadline) == IO_TIMEOUT) {
    what = "did not read the request in time";
  }
  while (what == NULL && state == HTTP_MORE && !end) {
    enum io got = read_some(fd, &response, call->deadline, &end);
    if (got == IO_DONE) state = http_parse(&response, status, body);
    else if (got == IO_TIMEOUT) what = "did not answer in time";
    else what = got == IO_TOO_LARGE ? "answered too much" : strerror(errno);
  }
  if (what == NULL && state == HTTP_MORE) what = "cut its answer short";
  if (what == NULL && state == HTTP_BROKEN) {
    what = "did not answer as netd does; another program may hold the socket";
  }
  free(response.bytes);
  return what;
}

static int relay(const struct call *call) {
  struct sockaddr_un address;
  struct buffer request = {.limit = 2 * LONGEST_INPUT}, body = {.limit = LONGEST_OUTPUT};
  int status = 0, code = find_socket(call, &address);
  if (code != 0) return code;
  int fd = connect_netd(call, &address);
  if (fd == -1) {
    char what[128];
    snprintf(what, sizeof what, "is away: %s", strerror(errno));
    return away(call, address.sun_path, what);
  }
  code = build_request(call, &request);
  if (code == 0) {
    const char *what = exchange(call, fd, &request, &status, &body);
    bool is_object = body.length > 0 && body.bytes[0] == '{';
    if (what == NULL && status != 200 && !is_object) what = "refused without a reason";
    code = what != NULL ? away(call, address.sun_path, what) : print(call, &body, status == 200 ? 0 : 1);
  }
  close(fd);
  free(request.bytes);
  free(body.bytes);
  return code;
}

int main(void) {
  hold_standard_descriptors();
  signal(SIGPIPE, SIG_IGN);
  const char *command = getenv("CNI_COMMAND");
  if (command == NULL || *command == '\0') return usage();

  struct call call = {
      .deadline = now_ms() + timeout_ms(),
      .input = {.limit = LONGEST_INPUT},
      .is_status = strcmp(command, "STATUS") == 0,
  };
  int code = read_input(&call);
  if (code == 0) code = strcmp(command, "VERSION") == 0 ? answer_version(&call) : relay(&call);
  free(call.input.bytes);
  free(call.run_dir);
  free(call.cni_version);
  return code;
}
