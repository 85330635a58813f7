/*
 * What measuring programs with both ends in hand share: each socket is opened inside its own network namespace, then
 * the program forks, so that the far end is there before the near one needs it.
 */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct ends {
  const char *from_netns;
  const char *to_netns;
  struct sockaddr_in to;
  double seconds;
  int cpu_from;
  int cpu_to;
};

static inline void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(1);
}

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static inline void enter(const char *netns) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open the namespace %s", netns);
  if (setns(fd, CLONE_NEWNET)) fail("cannot enter the namespace %s", netns);
  close(fd);
}

static inline int new_socket(int type) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("cannot open a socket");
  return fd;
}

/* Binds to a free port of the address, and leaves that port in `address`. */
static inline void bind_free(int fd, struct sockaddr_in *address) {
  socklen_t length = sizeof(*address);
  if (bind(fd, (struct sockaddr *)address, length)) fail("cannot bind %s", inet_ntoa(address->sin_addr));
  if (getsockname(fd, (struct sockaddr *)address, &length)) fail("cannot learn the port");
}

/* A process of its own, as the two containers would be; it does not outlive this one. */
static inline pid_t fork_onto(int cpu_parent, int cpu_child) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) fail("cannot fork");
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);

  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(child == 0 ? cpu_child : cpu_parent, &cpus);
  if (sched_setaffinity(0, sizeof(cpus), &cpus)) fail("cannot choose the CPU");
  return child;
}

static inline int parse_int(const char *text, int most) {
  char *end;
  long value = strtol(text, &end, 10);
  errno = EINVAL;
  if (end == text || *end || value < 0 || value > most) fail("'%s' is not a number from 0 to %d", text, most);
  return (int)value;
}
