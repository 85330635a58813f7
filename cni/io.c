/* Bounded buffers, and reading and writing that end by a deadline. */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* POLLOUT on a pipe promises room for this much (pipe(7)), so a write of it never blocks. */
#define WRITE_STEP 4096
#define READ_STEP 65536

bool buffer_add(struct buffer *buffer, const void *bytes, size_t length) {
  if (length > buffer->limit - buffer->length) return false;
  if (buffer->length + length > buffer->capacity) {
    size_t wanted = 2 * (buffer->length + length);
    char *grown = realloc(buffer->bytes, wanted);
    if (grown == NULL) return false;
    buffer->bytes = grown;
    buffer->capacity = wanted;
  }
  if (length > 0) memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
  return true;
}

bool buffer_text(struct buffer *buffer, const char *text) {
  return buffer_add(buffer, text, strlen(text));
}

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum io wait_for(int fd, short *events, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - now_ms();
    struct pollfd one = {.fd = fd, .events = *events};
    int ready = poll(&one, 1, left > 0 ? (int)left : 0);
    if (ready == 0) return IO_TIMEOUT;
    if (ready < 0 && errno == EINTR) continue;
    *events = one.revents;
    return ready > 0 ? IO_DONE : IO_FAILED;
  }
}

enum io read_some(int fd, struct buffer *into, int64_t deadline, bool *end) {
  char bytes[READ_STEP];
  *end = false;
  for (;;) {
    short events = POLLIN;
    enum io waited = wait_for(fd, &events, deadline);
    if (waited != IO_DONE) return waited;
    ssize_t got = read(fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return IO_FAILED;
    *end = got == 0;
    return buffer_add(into, bytes, (size_t)got) ? IO_DONE : IO_TOO_LARGE;
  }
}

enum io read_all(int fd, struct buffer *into, int64_t deadline) {
  for (bool end = false; !end;) {
    enum io got = read_some(fd, into, deadline, &end);
    if (got != IO_DONE) return got;
  }
  return IO_DONE;
}

static enum io write_until(int fd, const char *bytes, size_t length, short stop, int64_t deadline) {
  while (length > 0) {
    short events = POLLOUT | stop;
    enum io waited = wait_for(fd, &events, deadline);
    if (waited != IO_DONE) return waited;
    if ((events & stop) != 0 && (events & POLLOUT) == 0) return IO_DONE;
    ssize_t put = write(fd, bytes, length < WRITE_STEP ? length : WRITE_STEP);
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (put < 0) return IO_FAILED;
    bytes += put;
    length -= (size_t)put;
  }
  return IO_DONE;
}

enum io write_all(int fd, const char *bytes, size_t length, int64_t deadline) {
  return write_until(fd, bytes, length, 0, deadline);
}

enum io send_all(int fd, const char *bytes, size_t length, int64_t deadline) {
  return write_until(fd, bytes, length, POLLIN, deadline);
}
