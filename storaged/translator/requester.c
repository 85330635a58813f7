/*
 * Who waits for a request (requester.h), and whether it is on its way out. The kernel waits for an answer to what it
 * has handed to a FUSE server even if the asking process was killed: a process whose request waits for its turn could
 * not die.
 */
#include "requester.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXITING 0x4UL        /* PF_EXITING, include/linux/sched.h */
#define KILLED (1UL << 8)    /* SIGKILL, which is 9, pending */
#define FLAGS_FIELD 9
#define PENDING_FIELD 31

bool stat_line_is_dying(const char *line) {
  /* The name stands in brackets and may hold anything; no bracket comes after it. */
  const char *at = strrchr(line, ')');
  if (at == NULL || at[1] != ' ') return false;
  at += 2;
  unsigned long flags = 0, pending = 0;
  for (int field = 3; field <= PENDING_FIELD && at != NULL; field++) {
    if (field == FLAGS_FIELD && sscanf(at, "%lu", &flags) != 1) return false;
    if (field == PENDING_FIELD && sscanf(at, "%lu", &pending) != 1) return false;
    at = strchr(at, ' ');
    if (at != NULL) at++;
  }
  return (flags & EXITING) != 0 || (pending & KILLED) != 0;
}

bool requester_is_dying(pid_t thread) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)thread);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT;
  ssize_t length = read(file, line, sizeof line - 1);
  int failed = errno;
  close(file);
  if (length < 0) return failed == ESRCH;
  line[length] = '\0';
  return stat_line_is_dying(line);
}

bool requester_is_at_home(pid_t thread) {
  char path[64];
  struct stat own, its;
  snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)thread);
  return thread > 0 && stat("/proc/self/ns/pid", &own) == 0 && stat(path, &its) == 0 && own.st_ino == its.st_ino;
}
