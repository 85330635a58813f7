/*
 * What a container does against its limits, one thing at a time. Each mode says "ready", waits for a line, so that it
 * can be put into its groups first, does its work, and prints one line of JSON.
 *
 *   limitload cpu THREADS SECONDS             computes; CPU time and wall time
 *   limitload memory MIB                      touches so much memory, says so, and holds it until its input ends
 *   limitload cache FILE                      reads the file through the page cache, then as above
 *   limitload disk FILE read|write BLOCK N SECONDS   direct IO by N threads; bytes and requests of each second
 *   limitload forks N                         how many of N children could be made
 *   limitload named NAME                      bears the name until a line comes, and then its own
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define MAX_SECONDS 60
/* The kernel's accounting begins in the middle of a period. */
#define WARM_UP 0.5

static atomic_int stop;

static void die(const char *what) {
  fprintf(stderr, "limitload: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds_of(clockid_t clock) {
  struct timespec now;

  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void rest_until(double when) {
  struct timespec until = { .tv_sec = (time_t)when, .tv_nsec = (long)((when - (double)(time_t)when) * 1e9) };

  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
    ;
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

/* Nobody listens any more: end. */
static void wait_for_line(void) {
  char line[64];

  if (fgets(line, sizeof(line), stdin) == NULL)
    exit(0);
}

static void hold(void) {
  say("held");
  for (;;)
    wait_for_line();
}

static void *spin(void *unused) {
  while (!atomic_load_explicit(&stop, memory_order_relaxed))
    ;
  return unused;
}

static void compute(int threads, double seconds) {
  pthread_t all[MAX_THREADS];
  double wall, cpu;

  for (int i = 0; i < threads; i++)
    if (pthread_create(&all[i], NULL, spin, NULL) != 0)
      die("thread");
  rest_until(seconds_of(CLOCK_MONOTONIC) + WARM_UP);
  wall = seconds_of(CLOCK_MONOTONIC);
  cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  rest_until(wall + seconds);
  /* Both at once: this thread itself may have been held up. */
  cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  wall = seconds_of(CLOCK_MONOTONIC) - wall;
  printf("{\"cpu\":%.6f,\"wall\":%.6f}\n", cpu, wall);
  fflush(stdout);
  exit(0);
}

static void touch_memory(size_t bytes) {
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    die("mmap");
  for (size_t at = 0; at < bytes; at += 4096)
    memory[at] = 1;
  hold();
}

static void read_through_cache(const char *path) {
  static char buffer[1 << 16];
  int file = open(path, O_RDONLY | O_CLOEXEC);

  if (file < 0)
    die(path);
  while (read(file, buffer, sizeof(buffer)) > 0)
    ;
  hold();
}

static struct {
  const char *path;
  int writing;
  size_t block;
  off_t size;
  atomic_ullong requests;
} disk;

static void *transfer(void *nth) {
  int file = open(disk.path, (disk.writing ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
  off_t blocks = disk.size / (off_t)disk.block;
  off_t at = (off_t)(intptr_t)nth * 7919 % blocks;
  void *buffer;

  if (file < 0 || posix_memalign(&buffer, 4096, disk.block) != 0)
    die(disk.path);
  memset(buffer, 'x', disk.block);
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    ssize_t done = disk.writing ? pwrite(file, buffer, disk.block, at * (off_t)disk.block)
              : pread(file, buffer, disk.block, at * (off_t)disk.block);

    if (done != (ssize_t)disk.block)
      die(disk.writing ? "write" : "read");
    atomic_fetch_add(&disk.requests, 1);
    at = (at + 1) % blocks;
  }
  return NULL;
}

/* What was done in each second from the first request on, and in the whole of the time after the first half second. */
static void measure_disk(int threads, int seconds) {
  unsigned long long each[MAX_SECONDS + 1] = { 0 }, warm;
  double begin, end;
  pthread_t thread;
  struct stat stat_;

  if (stat(disk.path, &stat_) != 0)
    die(disk.path);
  disk.size = stat_.st_size;
  for (intptr_t i = 0; i < threads; i++)
    if (pthread_create(&thread, NULL, transfer, (void *)i) != 0)
      die("thread");
  begin = seconds_of(CLOCK_MONOTONIC);
  rest_until(begin + WARM_UP);
  warm = atomic_load(&disk.requests);
  for (int i = 1; i <= seconds; i++) {
    rest_until(begin + i);
    each[i] = atomic_load(&disk.requests);
  }
  end = seconds_of(CLOCK_MONOTONIC);
  printf("{\"requests\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"each\":[", each[seconds] - warm,
         (each[seconds] - warm) * disk.block, end - begin - WARM_UP);
  for (int i = 1; i <= seconds; i++)
    printf("%s%llu", i == 1 ? "" : ",", each[i] - each[i - 1]);
  puts("]}");
  fflush(stdout);
  /* Requests that still wait for the limit are nobody's any more. */
  _exit(0);
}

static void count_forks(int wanted) {
  pid_t children[4096];
  int made = 0;

  for (; made < wanted && made < 4096; made++) {
    children[made] = fork();
    if (children[made] < 0)
      break;
    if (children[made] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;)
        pause();
    }
  }
  printf("{\"made\":%d}\n", made);
  for (int i = 0; i < made; i++)
    kill(children[i], SIGKILL);
  while (wait(NULL) > 0)
    ;
  fflush(stdout);
}

static void bear_name(const char *name) {
  char own[16];

  if (prctl(PR_GET_NAME, own) != 0 || prctl(PR_SET_NAME, name) != 0)
    die("name");
  wait_for_line();
  prctl(PR_SET_NAME, own);
  hold();
}

static int number(const char *text, int least, int most) {
  char *end;
  long value = strtol(text, &end, 10);

  if (*end != '\0' || value < least || value > most) {
    fprintf(stderr, "limitload: %s is not from %d to %d\n", text, least, most);
    exit(2);
  }
  return (int)value;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";

  /* Nothing of ours outlives whoever measures. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  say("ready");
  wait_for_line();
  if (strcmp(mode, "cpu") == 0 && argc == 4) {
    compute(number(argv[2], 1, MAX_THREADS), number(argv[3], 1, MAX_SECONDS));
  } else if (strcmp(mode, "memory") == 0 && argc == 3) {
    touch_memory((size_t)number(argv[2], 1, 65536) << 20);
  } else if (strcmp(mode, "cache") == 0 && argc == 3) {
    read_through_cache(argv[2]);
  } else if (strcmp(mode, "disk") == 0 && argc == 7) {
    disk.path = argv[2];
    disk.writing = strcmp(argv[3], "write") == 0;
    disk.block = (size_t)number(argv[4], 4096, 1 << 24);
    measure_disk(number(argv[5], 1, MAX_THREADS), number(argv[6], 1, MAX_SECONDS));
  } else if (strcmp(mode, "forks") == 0 && argc == 3) {
    count_forks(number(argv[2], 1, 4096));
    hold();
  } else if (strcmp(mode, "named") == 0 && argc == 3) {
    bear_name(argv[2]);
  } else {
    fprintf(stderr, "limitload: unknown mode\n");
    return 2;
  }
  return 0;
}
