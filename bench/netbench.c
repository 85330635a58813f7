/*
 * Measures the path between two network namespaces: round trips over TCP, small UDP packets per second, new
 * connections per second, each with one HTTP request and its answer, or how many of 10,000 numbered UDP packets a
 * second are lost.
 *
 *   netbench rr      FROM_NETNS TO_NETNS ADDRESS SECONDS CPU_FROM CPU_TO
 *   netbench udp     FROM_NETNS TO_NETNS ADDRESS SECONDS CPU_FROM CPU_TO
 *   netbench connect FROM_NETNS TO_NETNS ADDRESS SECONDS CPU_FROM CPU_TO
 *   netbench gaps    FROM_NETNS TO_NETNS ADDRESS SECONDS CPU_FROM CPU_TO
 *
 * One command opens both ends, each socket inside its own namespace, and then forks: so the far end is there
 * before the near end needs it, and nothing has to wait or guess. Prints one JSON object. Ends by itself.
 */
#define _GNU_SOURCE
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "ends.h"

enum {
  MESSAGE_BYTES = 64,
  BATCH = 32,
  MOST_ROUND_TRIPS = 8000000,
  LONGEST_SECONDS = 60,
  /* What is measured before this time is thrown away: caches, neighbour entries, a TCP window to open. */
  WARM_UP_MS = 200,
  SPARE_SECONDS = 5,
  /* Numbered packets: few enough at once for the kernel's queues, and a buffer for a second without the reader. */
  BURST = 10,
  BURST_EVERY_NS = 1000000,
  NUMBERED_BUFFER_BYTES = 16 << 20,
  MOST_NUMBERED = LONGEST_SECONDS * 1000 * BURST,
  /* Nothing has come for so long after the last was sent: what is missing is lost. */
  SILENCE_MS = 500,
};

static int by_size(const void *left, const void *right) {
  float a = *(const float *)left, b = *(const float *)right;
  return (a > b) - (a < b);
}

static void no_delay(int fd) {
  int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) fail("cannot set TCP_NODELAY");
}

static void __attribute__((noreturn)) echo(int listener) {
  char message[MESSAGE_BYTES];
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("cannot accept");
  no_delay(fd);
  for (;;) {
    ssize_t got = read(fd, message, sizeof(message));
    if (got <= 0) _exit(0);
    if (write(fd, message, (size_t)got) != got) _exit(1);
  }
}

static void round_trip(int fd) {
  char message[MESSAGE_BYTES] = {0};
  if (write(fd, message, sizeof(message)) != sizeof(message)) fail("cannot send");
  for (size_t got = 0; got < sizeof(message);) {
    ssize_t more = read(fd, message, sizeof(message) - got);
    if (more <= 0) fail("the answer did not come");
    got += (size_t)more;
  }
}

static void measure_round_trips(struct ends *ends) {
  enter(ends->to_netns);
  int listener = new_socket(SOCK_STREAM);
  bind_free(listener, &ends->to);
  if (listen(listener, 1)) fail("cannot listen");
  enter(ends->from_netns);
  int fd = new_socket(SOCK_STREAM);
  if (fork_onto(ends->cpu_from, ends->cpu_to) == 0) {
    close(fd); /* else it would never see the end of the stream */
    echo(listener);
  }

  struct timeval patience = {.tv_sec = SPARE_SECONDS};
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))) fail("cannot bound the wait");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) fail("cannot bound the wait");
  if (connect(fd, (struct sockaddr *)&ends->to, sizeof(ends->to))) fail("cannot connect");
  no_delay(fd);

  float *microseconds = malloc(MOST_ROUND_TRIPS * sizeof(float));
  if (!microseconds) fail("no memory");
  size_t count = 0;
  double start = now() + WARM_UP_MS * 1e-3;
  double end = start + ends->seconds;
  for (double before = now(); before < end && count < MOST_ROUND_TRIPS;) {
    round_trip(fd);
    double after = now();
    if (before >= start) microseconds[count++] = (float)((after - before) * 1e6);
    before = after;
  }
  close(fd);
  wait(NULL);
  if (count == 0) fail("nothing was measured");

  qsort(microseconds, count, sizeof(float), by_size);
  printf("{\"count\":%zu,\"p50Microseconds\":%.3f,\"p99Microseconds\":%.3f}\n", count,
         (double)microseconds[count / 2], (double)microseconds[count * 99 / 100]);
  free(microseconds);
}

static void prepare_batch(struct mmsghdr batch[BATCH], struct iovec *buffer) {
  memset(batch, 0, BATCH * sizeof(*batch));
  for (int i = 0; i < BATCH; i++) {
    batch[i].msg_hdr.msg_iov = buffer;
    batch[i].msg_hdr.msg_iovlen = 1;
  }
}

/* Sends as fast as it can, until it is killed. */
static void __attribute__((noreturn)) flood(int fd) {
  char message[MESSAGE_BYTES] = {0};
  struct iovec buffer = {.iov_base = message, .iov_len = sizeof(message)};
  struct mmsghdr batch[BATCH];
  prepare_batch(batch, &buffer);
  for (;;) {
    /* A full queue is what we are here for; anything else ends the measurement, which then sees no packets. */
    if (sendmmsg(fd, batch, BATCH, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) fail("cannot send");
  }
}

static void measure_packets(struct ends *ends) {
  enter(ends->to_netns);
  int sink = new_socket(SOCK_DGRAM);
  bind_free(sink, &ends->to);
  struct timeval patience = {.tv_sec = SPARE_SECONDS};
  if (setsockopt(sink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) fail("cannot bound the wait");
  enter(ends->from_netns);
  int source = new_socket(SOCK_DGRAM);
  if (connect(source, (struct sockaddr *)&ends->to, sizeof(ends->to))) fail("cannot connect");
  pid_t child = fork_onto(ends->cpu_to, ends->cpu_from);
  if (child == 0) flood(source);

  char message[MESSAGE_BYTES]; /* all packets into one buffer: nobody looks at them */
  struct iovec buffer = {.iov_base = message, .iov_len = sizeof(message)};
  struct mmsghdr batch[BATCH];
  prepare_batch(batch, &buffer);
  long packets = 0;
  double start = now() + WARM_UP_MS * 1e-3;
  double first = 0, last = 0;
  while (last < start + ends->seconds) {
    int got = recvmmsg(sink, batch, BATCH, MSG_WAITFORONE, NULL);
    if (got <= 0) fail("no packet came");
    last = now();
    if (first > 0) packets += got;
    else if (last >= start) first = last;
  }
  kill(child, SIGKILL);
  wait(NULL);
  printf("{\"packets\":%ld,\"perSecond\":%.0f}\n", packets, (double)packets / (last - first));
}

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";

static void __attribute__((noreturn)) answer_all(int listener) {
  char message[sizeof(REQUEST)];
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("cannot accept");
    if (read(fd, message, sizeof(message)) > 0 && write(fd, message, 1) != 1) _exit(1);
    close(fd);
  }
}

/* Ends with a reset: a closed port that waits would be missing after some ten thousand connections. */
static void one_connection(const struct sockaddr_in *to) {
  struct timeval patience = {.tv_sec = SPARE_SECONDS};
  struct linger none = {.l_onoff = 1};
  char answer;
  int fd = new_socket(SOCK_STREAM);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) fail("cannot bound the wait");
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none))) fail("cannot set SO_LINGER");
  if (connect(fd, (const struct sockaddr *)to, sizeof(*to))) fail("cannot connect");
  if (write(fd, REQUEST, sizeof(REQUEST) - 1) != sizeof(REQUEST) - 1) fail("cannot send");
  if (read(fd, &answer, 1) != 1) fail("the answer did not come");
  close(fd);
}

static void measure_connections(struct ends *ends) {
  enter(ends->to_netns);
  int listener = new_socket(SOCK_STREAM);
  bind_free(listener, &ends->to);
  if (listen(listener, SOMAXCONN)) fail("cannot listen");
  enter(ends->from_netns);
  pid_t child = fork_onto(ends->cpu_from, ends->cpu_to);
  if (child == 0) answer_all(listener);

  long count = 0;
  double start = now() + WARM_UP_MS * 1e-3;
  double end = start + ends->seconds;
  double after = 0;
  while (after < end) {
    one_connection(&ends->to);
    after = now();
    if (after >= start) count++;
  }
  kill(child, SIGKILL);
  wait(NULL);
  printf("{\"count\":%ld,\"perSecond\":%.1f}\n", count, (double)count / (after - start));
}

/* Shared between both ends: what was sent is what should have come. */
struct numbered {
  uint32_t sent;
  bool over;
};

/* A burst every millisecond. What a late wake-up has missed is not made up for: a burst of bursts could be lost. */
static void __attribute__((noreturn)) send_numbered(int fd, double seconds, struct numbered *shared) {
  char message[MESSAGE_BYTES] = {0};
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  double end = now() + seconds;
  while (now() < end && shared->sent < MOST_NUMBERED) {
    for (int i = 0; i < BURST; i++) {
      memcpy(message, &shared->sent, sizeof(shared->sent));
      if (send(fd, message, sizeof(message), 0) < 0) fail("cannot send number %u", shared->sent);
      shared->sent++;
    }
    next.tv_nsec += BURST_EVERY_NS;
    if (next.tv_nsec >= 1000000000) {
      next.tv_nsec -= 1000000000;
      next.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    if (now() > (double)next.tv_sec + (double)(next.tv_nsec + BURST_EVERY_NS) * 1e-9)
      clock_gettime(CLOCK_MONOTONIC, &next);
  }
  __atomic_store_n(&shared->over, true, __ATOMIC_RELEASE);
  _exit(0);
}

/* Packets that the socket itself had no room for: lost, but not on the way. */
static uint32_t overflowed(int fd) {
  uint32_t figures[SK_MEMINFO_VARS] = {0};
  socklen_t length = sizeof(figures);
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &length)) fail("cannot ask the socket what it dropped");
  return figures[SK_MEMINFO_DROPS];
}

static void measure_gaps(struct ends *ends) {
  struct numbered *shared =
      mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  uint8_t *seen = calloc(MOST_NUMBERED, 1);
  if (shared == MAP_FAILED || !seen) fail("no memory");
  enter(ends->to_netns);
  int sink = new_socket(SOCK_DGRAM);
  bind_free(sink, &ends->to);
  int room = NUMBERED_BUFFER_BYTES;
  if (setsockopt(sink, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room))) fail("cannot have a larger buffer");
  struct timeval silence = {.tv_usec = SILENCE_MS * 1000};
  if (setsockopt(sink, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence))) fail("cannot bound the wait");
  enter(ends->from_netns);
  int source = new_socket(SOCK_DGRAM);
  if (connect(source, (struct sockaddr *)&ends->to, sizeof(ends->to))) fail("cannot connect");
  if (fork_onto(ends->cpu_to, ends->cpu_from) == 0) send_numbered(source, ends->seconds, shared);

  uint32_t received = 0, twice = 0;
  for (;;) {
    uint32_t number;
    bool over = __atomic_load_n(&shared->over, __ATOMIC_ACQUIRE);
    ssize_t got = recv(sink, &number, sizeof(number), 0);
    if (got < 0 && errno != EAGAIN) fail("cannot receive");
    if (got < 0 && over) break;
    if (got != sizeof(number) || number >= MOST_NUMBERED) continue;
    if (seen[number]) twice++;
    else received++;
    seen[number] = 1;
  }
  wait(NULL);
  printf("{\"sent\":%u,\"lost\":%u,\"twice\":%u,\"overflowed\":%u}\n", shared->sent, shared->sent - received,
         twice, overflowed(sink));
  free(seen);
}

int main(int count, char **words) {
  if (count != 8) {
    fputs("usage: netbench rr|udp|connect|gaps FROM_NETNS TO_NETNS ADDRESS SECONDS CPU_FROM CPU_TO\n", stderr);
    return 2;
  }
  struct ends ends = {
    .from_netns = words[2],
    .to_netns = words[3],
    .to = {.sin_family = AF_INET},
    .seconds = parse_int(words[5], LONGEST_SECONDS),
    .cpu_from = parse_int(words[6], CPU_SETSIZE - 1),
    .cpu_to = parse_int(words[7], CPU_SETSIZE - 1),
  };
  errno = EINVAL;
  if (inet_pton(AF_INET, words[4], &ends.to.sin_addr) != 1) fail("'%s' is not an IPv4 address", words[4]);
  alarm((unsigned)ends.seconds + 2 * SPARE_SECONDS);

  if (!strcmp(words[1], "rr")) measure_round_trips(&ends);
  else if (!strcmp(words[1], "udp")) measure_packets(&ends);
  else if (!strcmp(words[1], "connect")) measure_connections(&ends);
  else if (!strcmp(words[1], "gaps")) measure_gaps(&ends);
  else fail("'%s' is no measurement: rr, udp, connect or gaps", words[1]);
  return 0;
}
