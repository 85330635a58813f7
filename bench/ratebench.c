/*
 * Sends through a limit for some seconds, and writes down how the traffic came through it: every five milliseconds the
 * counters of the receiver's interface and the payload that its program got.
 *
 *   ratebench tcp FROM_NETNS TO_NETNS ADDRESS INTERFACE SECONDS CPU_FROM CPU_TO 0
 *   ratebench udp FROM_NETNS TO_NETNS ADDRESS INTERFACE SECONDS CPU_FROM CPU_TO BITS_PER_SECOND
 *
 * INTERFACE is the receiver's. UDP packets fill the MTU and are sent at the rate given, counted in bits of frames, or
 * as fast as can be for 0. Prints one JSON object; its times are milliseconds of CLOCK_MONOTONIC, so that whoever
 * changes the limit meanwhile can compare. Ends by itself.
 */
#define _GNU_SOURCE
#include <linux/if_ether.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "ends.h"

enum {
  LONGEST_SECONDS = 60,
  SPARE_SECONDS = 5,
  SAMPLE_NS = 5000000,
  MOST_SAMPLES = LONGEST_SECONDS * 250,
  /* Shorter ones are how the traffic flows: a full packet takes 1.2 ms at 10 Mbit/s. */
  SILENCE_NS = 10000000,
  MOST_SILENCES = 4096,
  CHUNK_BYTES = 128 << 10,
  BATCH = 32,
  LARGEST_DATAGRAM = 9000,
  UDP_HEADERS = 20 + 8,
  /* UDP goes out in steps; what a late wake-up has missed is made up for as far as this. */
  STEP_NS = 500000,
  MOST_BEHIND_NS = 10000000,
};

struct sample {
  int64_t at;
  uint64_t bytes;
  uint64_t packets;
  uint64_t payload;
};

struct silence {
  int64_t from;
  int64_t length;
};

struct record {
  struct sample samples[MOST_SAMPLES];
  struct silence silences[MOST_SILENCES];
  int sample_count;
  int silence_count;
  bool reset;
};

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Opened inside the namespace, and bound to it from then on. */
static int open_counters(void) {
  int fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open the interfaces' counters");
  return fd;
}

/* proc_pid_net(5): a line for each interface, 'NAME: RECEIVED_BYTES RECEIVED_PACKETS ...'. */
static void read_counters(int fd, const char *interface, struct sample *sample) {
  char text[8192], name[32];
  ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
  if (length <= 0) fail("cannot read the interfaces' counters");
  text[length] = 0;
  snprintf(name, sizeof(name), "%s:", interface);
  const char *line = strstr(text, name);
  errno = ENODEV;
  if (!line || sscanf(line + strlen(name), "%lu %lu", &sample->bytes, &sample->packets) != 2)
    fail("no counters of %s", interface);
}

static void __attribute__((noreturn)) stream(int fd) {
  static char chunk[CHUNK_BYTES];
  for (;;)
    if (write(fd, chunk, sizeof(chunk)) < 0) _exit(1);
}

static int datagram_bytes(int fd) {
  int mtu;
  socklen_t length = sizeof(mtu);
  if (getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &length)) fail("cannot learn the path's MTU");
  return mtu < LARGEST_DATAGRAM ? mtu - UDP_HEADERS : LARGEST_DATAGRAM - UDP_HEADERS;
}

/* A full queue is what we are here for; anything else ends the measurement, which then sees no packets. */
static void send_datagrams(int fd, struct mmsghdr *batch, unsigned count) {
  while (count > 0) {
    unsigned now_sent = count < BATCH ? count : BATCH;
    int sent = sendmmsg(fd, batch, now_sent, 0);
    if (sent < 0 && errno != ENOBUFS && errno != ECONNREFUSED) fail("cannot send");
    count -= sent > 0 ? (unsigned)sent : now_sent;
  }
}

static void __attribute__((noreturn)) send_paced(int fd, int bytes, double bits_per_second) {
  static char payload[LARGEST_DATAGRAM];
  struct iovec buffer = {.iov_base = payload, .iov_len = (size_t)bytes};
  struct mmsghdr batch[BATCH];
  memset(batch, 0, sizeof(batch));
  for (int i = 0; i < BATCH; i++) batch[i].msg_hdr = (struct msghdr){.msg_iov = &buffer, .msg_iovlen = 1};
  if (bits_per_second == 0)
    for (;;) send_datagrams(fd, batch, BATCH);

  double per_ns = bits_per_second / 1e9 / ((bytes + UDP_HEADERS + ETH_HLEN) * 8);
  double owed = 1;
  int64_t last = now_ns();
  for (;;) {
    send_datagrams(fd, batch, (unsigned)owed);
    owed -= (unsigned)owed;
    struct timespec step = {.tv_nsec = STEP_NS};
    nanosleep(&step, NULL);
    int64_t time = now_ns(), passed = time - last;
    owed += per_ns * (double)(passed < MOST_BEHIND_NS ? passed : MOST_BEHIND_NS);
    last = time;
  }
}

/* @returns bytes of payload, 0 where nothing has come yet; -1: the connection is over */
static ssize_t take(int fd, bool tcp) {
  static char chunk[BATCH][LARGEST_DATAGRAM];
  if (tcp) {
    ssize_t got = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got > 0) return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
  }
  struct iovec buffers[BATCH];
  struct mmsghdr batch[BATCH];
  memset(batch, 0, sizeof(batch));
  for (int i = 0; i < BATCH; i++) {
    buffers[i] = (struct iovec){.iov_base = chunk[i], .iov_len = sizeof(chunk[i])};
    batch[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
  }
  int count = recvmmsg(fd, batch, BATCH, MSG_DONTWAIT, NULL);
  ssize_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += batch[i].msg_len;
  return bytes;
}

static void note_silence(struct record *record, int64_t from, int64_t to) {
  if (to - from < SILENCE_NS || record->silence_count == MOST_SILENCES) return;
  record->silences[record->silence_count++] = (struct silence){.from = from, .length = to - from};
}

static void watch(int fd, bool tcp, int counters, const char *interface, int64_t end, struct record *record) {
  uint64_t payload = 0;
  int64_t due = now_ns(), heard = due;
  for (;;) {
    int64_t time = now_ns();
    if (time >= due && record->sample_count < MOST_SAMPLES) {
      struct sample *sample = &record->samples[record->sample_count++];
      *sample = (struct sample){.at = time, .payload = payload};
      read_counters(counters, interface, sample);
      due = time - time % SAMPLE_NS + SAMPLE_NS;
    }
    if (time >= end) break;
    ssize_t got = take(fd, tcp);
    if (got < 0) {
      record->reset = true;
      break;
    }
    if (got > 0) {
      time = now_ns();
      note_silence(record, heard, time);
      heard = time;
      payload += (uint64_t)got;
      continue;
    }
    int64_t rest = due - now_ns();
    struct timespec patience = {.tv_nsec = rest > 0 ? rest : 0};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    ppoll(&readable, 1, &patience, NULL);
  }
  note_silence(record, heard, now_ns());
}

static double ms(int64_t ns) { return (double)ns / 1e6; }

static void print(const struct record *record, int64_t started, int mss, unsigned retransmitted) {
  printf("{\"startedMs\":%.3f,\"mss\":%d,\"retransmitted\":%u,\"reset\":%s,\"samples\":[", ms(started), mss,
         retransmitted, record->reset ? "true" : "false");
  for (int i = 0; i < record->sample_count; i++) {
    const struct sample *sample = &record->samples[i];
    printf("%s[%.3f,%lu,%lu,%lu]", i ? "," : "", ms(sample->at), sample->bytes, sample->packets, sample->payload);
  }
  printf("],\"silences\":[");
  for (int i = 0; i < record->silence_count; i++)
    printf("%s[%.3f,%.3f]", i ? "," : "", ms(record->silences[i].from), ms(record->silences[i].length));
  printf("]}\n");
}

static void measure(struct ends *ends, const char *interface, bool tcp, double bits_per_second) {
  struct record *record = calloc(1, sizeof(*record));
  int64_t *started = mmap(NULL, sizeof(*started), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!record || started == MAP_FAILED) fail("no memory");
  int type = tcp ? SOCK_STREAM : SOCK_DGRAM;

  enter(ends->to_netns);
  int counters = open_counters();
  int sink = new_socket(type);
  bind_free(sink, &ends->to);
  if (tcp && listen(sink, 1)) fail("cannot listen");
  enter(ends->from_netns);
  int source = new_socket(type);
  if (tcp && setsockopt(source, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5)) fail("cannot choose cubic");
  if (connect(source, (struct sockaddr *)&ends->to, sizeof(ends->to))) fail("cannot connect");
  if (tcp) {
    int accepted = accept4(sink, NULL, NULL, SOCK_CLOEXEC);
    if (accepted < 0) fail("cannot accept");
    close(sink);
    sink = accepted;
  }

  *started = now_ns();
  pid_t child = fork_onto(ends->cpu_to, ends->cpu_from);
  if (child == 0) {
    if (tcp) stream(source);
    send_paced(source, datagram_bytes(source), bits_per_second);
  }
  watch(sink, tcp, counters, interface, *started + (int64_t)(ends->seconds * 1e9), record);

  struct tcp_info info = {0};
  socklen_t length = sizeof(info);
  if (tcp && getsockopt(source, IPPROTO_TCP, TCP_INFO, &info, &length)) fail("cannot ask the connection");
  kill(child, SIGKILL);
  wait(NULL);
  print(record, *started, (int)info.tcpi_snd_mss, info.tcpi_total_retrans);
}

int main(int count, char **words) {
  if (count != 10) {
    fputs("usage: ratebench tcp|udp FROM_NETNS TO_NETNS ADDRESS INTERFACE SECONDS CPU_FROM CPU_TO BITS\n", stderr);
    return 2;
  }
  struct ends ends = {
    .from_netns = words[2],
    .to_netns = words[3],
    .to = {.sin_family = AF_INET},
    .seconds = parse_int(words[6], LONGEST_SECONDS),
    .cpu_from = parse_int(words[7], CPU_SETSIZE - 1),
    .cpu_to = parse_int(words[8], CPU_SETSIZE - 1),
  };
  errno = EINVAL;
  if (inet_pton(AF_INET, words[4], &ends.to.sin_addr) != 1) fail("'%s' is not an IPv4 address", words[4]);
  char *end;
  double bits = strtod(words[9], &end);
  errno = EINVAL;
  if (*end || !(bits >= 0)) fail("'%s' is no rate", words[9]);
  bool tcp = !strcmp(words[1], "tcp");
  if (!tcp && strcmp(words[1], "udp")) fail("'%s' is no protocol: tcp or udp", words[1]);
  alarm((unsigned)ends.seconds + 2 * SPARE_SECONDS);
  measure(&ends, words[5], tcp, bits);
  return 0;
}
