/*
 * The translator's pure parts, under a clock that the test turns. Prints one line for each case: "ok NAME", or what was
 * expected and what came. Run by translator.test.ts beside it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bucket.h"
#include "flow.h"
#include "gate.h"
#include "guard.h"
#include "limits.h"
#include "requester.h"
#include "shared-bucket.h"

static int failures, checks;
#define EXPECT(what)                                                   \
  do {                                                                 \
    checks++;                                                          \
    if (!(what)) {                                                     \
      failures++;                                                      \
      printf("line %d: expected %s\n", __LINE__, #what);               \
    }                                                                  \
  } while (0)

#define START (1000 * TICKS_PER_SECOND)

static unsigned gone, failed;
static void went(void *request) {
  (void)request;
  gone++;
}
static void was_failed(void *request) {
  (void)request;
  failed++;
}

static struct gate *new_gate(uint64_t read_bytes, uint64_t write_bytes, uint64_t read_ops, uint64_t write_ops) {
  struct gate *gate = aligned_alloc(64, (sizeof *gate + 63) / 64 * 64);
  if (gate == NULL || !gate_init(gate, went, was_failed)) abort();
  struct limits limits = {.rates = {read_bytes, write_bytes, read_ops, write_ops}, .burst_ms = 100};
  gate_set_limits(gate, &limits, START);
  gone = failed = 0;
  return gate;
}

static struct waiting *wait_in(struct gate *gate, enum lane lane, struct charge owed, ticks now, long number) {
  struct waiting *waiting = calloc(1, sizeof *waiting);
  if (waiting == NULL) abort();
  waiting->owed = owed;
  waiting->arrived = now;
  waiting->request = (void *)number;
  waiting->thread = (pid_t)number;
  gate_queue(gate, lane, waiting);
  return waiting;
}

static struct charge written(uint64_t bytes) { return (struct charge){.units = {0, bytes, 0, 1}}; }
static struct charge was_read(uint64_t bytes) { return (struct charge){.units = {bytes, 0, 1, 0}}; }

/* How many bytes pass within a time when `size` is wanted at every moment. */
static uint64_t passed(struct gate *gate, enum lane lane, struct charge each, uint64_t size, ticks span) {
  uint64_t bytes = 0;
  for (ticks now = START; now < START + span; now += TICKS_PER_MS)
    while (gate_admit(gate, lane, &each, now)) bytes += size;
  return bytes;
}

static void a_bucket_goes_into_debt_and_out_of_it(void) {
  struct bucket bucket = {0};
  bucket_set_rate(&bucket, 1000, START);
  EXPECT(bucket_wait(&bucket, START) == 0);
  bucket_take(&bucket, 500, START, 0);
  EXPECT(bucket_wait(&bucket, START) == TICKS_PER_SECOND / 2);
  EXPECT(bucket_wait(&bucket, START + TICKS_PER_SECOND / 2) == 0);
  bucket_take(&bucket, 1, START + 10 * TICKS_PER_SECOND, 100 * TICKS_PER_MS);
  EXPECT(bucket_wait(&bucket, START + 10 * TICKS_PER_SECOND) == 0); /* it had saved a burst */
}

static void what_is_saved_ends_at_the_burst(void) {
  struct gate *gate = new_gate(0, 1000000, 0, 0);
  ticks later = START + 60 * TICKS_PER_SECOND;
  uint64_t bytes = 0;
  struct charge each = written(1000);
  while (gate_admit(gate, LANE_WRITE, &each, later)) bytes += 1000;
  EXPECT(bytes >= 100000 && bytes <= 102000); /* 100 ms, and the one that leads into debt */
  free(gate);
}

static void rates_are_kept_in_the_long_run(void) {
  struct gate *gate = new_gate(0, 1000000, 0, 0);
  uint64_t bytes = passed(gate, LANE_WRITE, written(4096), 4096, 10 * TICKS_PER_SECOND);
  EXPECT(bytes > 9980000 && bytes < 10020000);
  free(gate);
  gate = new_gate(0, 0, 100, 0);
  uint64_t ops = passed(gate, LANE_READ, was_read(65536), 1, 10 * TICKS_PER_SECOND);
  EXPECT(ops > 998 && ops < 1002);
  free(gate);
  gate = new_gate(0, 1000000000000ULL, 0, 0); /* a cost far below a nanosecond's fraction adds up */
  struct bucket *bucket = &gate->own[WRITE_BYTES];
  for (int i = 0; i < 1000; i++) bucket_take(bucket, 1000, START, 0);
  EXPECT(bucket_wait(bucket, START) == 16000);
  free(gate);
}

static void the_stricter_of_two_dimensions_holds(void) {
  struct gate *gate = new_gate(0, 1000000, 0, 10);
  uint64_t bytes = passed(gate, LANE_WRITE, written(4096), 4096, 10 * TICKS_PER_SECOND);
  EXPECT(bytes / 4096 > 98 && bytes / 4096 < 103);
  free(gate);
  gate = new_gate(0, 100000, 0, 1000);
  bytes = passed(gate, LANE_WRITE, written(10000), 10000, 10 * TICKS_PER_SECOND);
  EXPECT(bytes > 980000 && bytes < 1020000);
  free(gate);
}

static void directions_do_not_touch_each_other(void) {
  struct gate *gate = new_gate(1000, 0, 1, 0);
  struct charge write = written(1 << 30), read = was_read(1000);
  for (int i = 0; i < 10; i++) EXPECT(gate_admit(gate, LANE_WRITE, &write, START));
  EXPECT(gate_admit(gate, LANE_READ, &read, START));
  EXPECT(!gate_admit(gate, LANE_READ, &read, START));
  free(gate);
}

static void who_comes_first_goes_first(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge each = written(500);
  EXPECT(gate_admit(gate, LANE_WRITE, &each, START));
  for (long i = 1; i <= 4; i++) wait_in(gate, LANE_WRITE, each, START, i);
  ticks due;
  EXPECT(gate_drain(gate, START, &due) == NULL);
  EXPECT(due == START + TICKS_PER_SECOND / 2);
  /* Nobody overtakes, although the bucket would let it. */
  EXPECT(!gate_admit(gate, LANE_WRITE, &each, due));
  for (long i = 1; i <= 4; i++) {
    struct waiting *next = gate_drain(gate, due, &due);
    EXPECT(next != NULL && next->next == NULL && next->request == (void *)i);
    free(next);
  }
  EXPECT(due == INT64_MAX);
  EXPECT(atomic_load(&gate->flows[FLOW_WRITE].throttled) == 4);
  EXPECT(atomic_load(&gate->flows[FLOW_WRITE].queued) == 0);
  EXPECT(atomic_load(&gate->flows[FLOW_WRITE].throttled_ns) == 5000000000); /* .5 + 1 + 1.5 + 2 s */
  free(gate);
}

static void data_and_the_rest_take_turns(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge data = written(100), change = written(100);
  EXPECT(gate_admit(gate, LANE_WRITE, &data, START));
  for (long i = 1; i <= 3; i++) wait_in(gate, LANE_WRITE, data, START, i);
  for (long i = 11; i <= 12; i++) wait_in(gate, LANE_CHANGE, change, START, i);
  long order[5];
  ticks now = START;
  for (int i = 0; i < 5; i++) {
    now += TICKS_PER_SECOND / 10;
    ticks due;
    struct waiting *next = gate_drain(gate, now, &due);
    order[i] = next == NULL ? 0 : (long)next->request;
    free(next);
  }
  static const long expected[] = {1, 11, 2, 12, 3};
  EXPECT(memcmp(order, expected, sizeof order) == 0);
  free(gate);
}

static void what_costs_more_than_a_second_pays_before_it_goes(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge huge = written(10000), small = written(1);
  EXPECT(!gate_admit(gate, LANE_WRITE, &huge, START));
  wait_in(gate, LANE_WRITE, huge, START, 7);
  ticks now = START, due;
  unsigned rounds = 0;
  struct waiting *gone_now;
  while ((gone_now = gate_drain(gate, now, &due)) == NULL && rounds++ < 100) {
    EXPECT(due - now <= MOST_DEBT);
    now = due;
  }
  EXPECT(now == START + 9 * TICKS_PER_SECOND);
  free(gone_now);
  /* It left a second of debt at most. */
  EXPECT(!gate_admit(gate, LANE_WRITE, &small, now));
  EXPECT(gate_admit(gate, LANE_WRITE, &small, now + TICKS_PER_SECOND));
  free(gate);
}

static void who_pays_for_long_stops_nobody_else(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge huge = written(100000), change = written(500);
  wait_in(gate, LANE_WRITE, huge, START, 1);
  wait_in(gate, LANE_CHANGE, change, START, 2);
  ticks now = START, due;
  struct waiting *next;
  while ((next = gate_drain(gate, now, &due)) == NULL) now = due;
  EXPECT(next->request == (void *)2L && now <= START + 2 * TICKS_PER_SECOND);
  free(next);
  free(gate);
}

static void who_dies_takes_what_it_waits_for_along(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge huge = written(1000000), small = written(10);
  wait_in(gate, LANE_WRITE, huge, START, 41);
  wait_in(gate, LANE_CHANGE, huge, START, 41);
  wait_in(gate, LANE_WRITE, small, START, 42);
  ticks due;
  EXPECT(gate_drain(gate, START, &due) == NULL);
  pid_t dying = 41;
  struct waiting *taken = gate_take_of(gate, &dying, 1, START + 1);
  EXPECT(taken != NULL && taken->next != NULL && taken->next->next == NULL);
  free(taken->next);
  free(taken);
  struct waiting *next = gate_drain(gate, START + TICKS_PER_SECOND, &due);
  EXPECT(next != NULL && next->request == (void *)42L);
  free(next);
  free(gate);
}

static void a_higher_rate_helps_who_already_waits(void) {
  struct gate *gate = new_gate(0, 1000, 0, 0);
  struct charge big = written(100000);
  wait_in(gate, LANE_WRITE, big, START, 1);
  ticks due;
  EXPECT(gate_drain(gate, START, &due) == NULL);
  struct limits more = {.rates = {0, 1000000, 0, 0}, .burst_ms = 100};
  gate_set_limits(gate, &more, START);
  struct waiting *next = gate_drain(gate, START + TICKS_PER_SECOND, &due);
  EXPECT(next != NULL);
  free(next);
  struct limits none = {.burst_ms = 100};
  gate_set_limits(gate, &none, START);
  EXPECT(gate_admit(gate, LANE_WRITE, &big, START));
  free(gate);
}

static void a_copy_is_charged_on_both_sides(void) {
  struct gate *gate = new_gate(1000, 0, 0, 0);
  struct charge copy = {.units = {1000, 1000, 1, 1}}, read = was_read(1);
  EXPECT(gate_admit(gate, LANE_WRITE, &copy, START));
  EXPECT(!gate_admit(gate, LANE_READ, &read, START));
  EXPECT(gate_admit(gate, LANE_WRITE, &copy, START)); /* up to a second ahead of the readers */
  EXPECT(!gate_admit(gate, LANE_WRITE, &copy, START));
  free(gate);
}

static struct shared_bucket *make_shared(const char *path, uint64_t write_bytes) {
  struct shared_bucket file = {.magic = SHARED_BUCKET_MAGIC, .version = SHARED_BUCKET_VERSION, .burst_ms = 100};
  atomic_store(&file.buckets[WRITE_BYTES].rate, write_bytes);
  int out = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (out < 0 || write(out, &file, sizeof file) != sizeof file) abort();
  close(out);
  const char *why = NULL;
  return shared_bucket_map(path, &why);
}

static void mounts_share_their_parents_bucket(void) {
  char path[] = "/tmp/sluice-io-test-XXXXXX";
  int made = mkstemp(path);
  if (made < 0) abort();
  close(made);
  struct shared_bucket *first = make_shared(path, 1000000);
  const char *why = NULL;
  struct shared_bucket *second = shared_bucket_map(path, &why); /* another client's mapping */
  EXPECT(first != NULL && second != NULL && first != second);
  struct gate *one = new_gate(0, 0, 0, 0), *two = new_gate(0, 200000, 0, 0);
  EXPECT(gate_add_parent(one, first) && gate_add_parent(two, second));
  uint64_t bytes[2] = {0, 0};
  struct charge each = written(4096);
  for (ticks now = START; now < START + 10 * TICKS_PER_SECOND; now += TICKS_PER_MS) {
    if (gate_admit(two, LANE_WRITE, &each, now)) bytes[1] += 4096;
    if (gate_admit(one, LANE_WRITE, &each, now)) bytes[0] += 4096;
  }
  EXPECT(bytes[0] + bytes[1] < 10200000 && bytes[0] + bytes[1] > 9800000);
  EXPECT(bytes[1] < 2050000 && bytes[1] > 1800000);
  atomic_store(&first->buckets[WRITE_BYTES].rate, 0);
  EXPECT(gate_admit(one, LANE_WRITE, &each, START));
  EXPECT(truncate(path, 40) == 0 && shared_bucket_map(path, &why) == NULL);
  EXPECT(truncate(path, 0) == 0 && truncate(path, 80) == 0 && shared_bucket_map(path, &why) == NULL);
  unlink(path);
  EXPECT(shared_bucket_map(path, &why) == NULL);
  free(one);
  free(two);
}

static void a_shared_bucket_of_another_boot_does_not_stop_anybody(void) {
  struct bucket bucket = {.rate = 1000, .paid_until = START + 3600 * TICKS_PER_SECOND};
  EXPECT(bucket_wait(&bucket, START) == 0);
  bucket_take(&bucket, 500, START, 0);
  EXPECT(bucket_wait(&bucket, START) == TICKS_PER_SECOND / 2);
}

static bool parses(const char *text, struct limits *limits) { return limits_parse(text, strlen(text), limits); }

static void limits_are_read_from_text(void) {
  struct limits limits = {.rates = {1, 2, 3, 4}, .burst_ms = 100};
  EXPECT(parses("read-bytes=500000,write-bytes=600000,read-ops=7,write-ops=8,burst-ms=50", &limits));
  EXPECT(limits.rates[0] == 500000 && limits.rates[1] == 600000 && limits.rates[2] == 7 && limits.rates[3] == 8);
  EXPECT(limits.burst_ms == 50);
  EXPECT(parses("write-ops=0", &limits) && limits.rates[3] == 0 && limits.rates[2] == 7);
  EXPECT(limits_parse("read-ops=9\n", 11, &limits) && limits.rates[2] == 9);
  EXPECT(limits_parse("read-ops=10\0", 12, &limits) && limits.rates[2] == 10);
  EXPECT(parses("write-ops=1", &limits) && limits.rates[3] == LEAST_OPS_RATE);
  EXPECT(parses("write-bytes=1", &limits) && limits.rates[1] == LEAST_BYTES_RATE);
  EXPECT(parses("write-bytes=999999999999999999", &limits) && limits.rates[1] == MOST_RATE);
  struct limits before = limits;
  static const char *const WRONG[] = {"",          "read-bytes",      "read-bytes=",    "read-bytes=-1", "read-bytes=1x",
                                      "reads=1",   "read-ops=1,",     ",read-ops=1",    "read-ops = 1",  "burst-ms=0",
                                      "=1",        "burst-ms=100000", "read-ops=1;x=2", "read-ops=0x10", "read-ops=1,,",
                                      "read-ops=5,nonsense=1", "read-bytes=99999999999999999999"};
  for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) EXPECT(!parses(WRONG[i], &limits));
  EXPECT(memcmp(before.rates, limits.rates, sizeof limits.rates) == 0 && before.burst_ms == limits.burst_ms);
  char text[200], again[200];
  struct limits read_back = {.burst_ms = 1};
  EXPECT(limits_write(text, sizeof text, &limits) > 0 && parses(text, &read_back));
  EXPECT(limits_write(again, sizeof again, &read_back) > 0 && strcmp(text, again) == 0);
  EXPECT(limits_write(text, 20, &limits) == -1);
}

static void latencies_have_classes(void) {
  EXPECT(latency_class(-5) == 0 && latency_class(0) == 0 && latency_class(1000) == 0);
  EXPECT(latency_class(1001) == 1 && latency_class(2000) == 1 && latency_class(2001) == 2);
  EXPECT(latency_class(4000) == 2 && latency_class(4001) == 3);
  EXPECT(latency_class(1000000) == 10);  /* 1 ms is 1000 µs <= 1024 */
  EXPECT(latency_class(1024001) == 11);
  EXPECT(latency_class(INT64_MAX) == LATENCY_CLASSES - 1);
}

static void statistics_are_told_as_json(void) {
  struct gate *gate = new_gate(0, 1000000, 0, 5);
  flow_finished(&gate->flows[FLOW_WRITE], 1500, false, 4096);
  flow_finished(&gate->flows[FLOW_WRITE], 500, true, 0);
  char text[8192];
  struct limits limits;
  gate_get_limits(gate, &limits);
  int length = statistics_write(text, sizeof text, limits.rates, gate->flows);
  EXPECT(length > 0 && (size_t)length == strlen(text));
  EXPECT(strstr(text, "{\"limits\":{\"volume.read\":null,\"volume.write\":1000000,\"volume.readOps\":null,"
                      "\"volume.writeOps\":5},\"read\":{\"ops\":0,") == text);
  EXPECT(strstr(text, "\"write\":{\"ops\":1,\"bytes\":4096,\"errors\":1,\"throttled\":0,\"throttledMs\":0.000,"
                      "\"queued\":0,\"latency\":[1,1]}") != NULL);
  EXPECT(statistics_write(text, 100, limits.rates, gate->flows) == -1);
  free(gate);
}

static void containers_get_only_attributes_that_are_some(void) {
  static const char *const REFUSED[] = {
      "trusted.sluice.io.statistics", "trusted.glusterfs.pathinfo", "glusterfs.pathinfo", "glusterfs.gfid2path",
      "trusted.afr.x", "distribute.fix.layout", "replica.split-brain-choice", "user.glusterfs.x", "inode-invalidate",
      "user.io-stats-dump", "user.x-io-x-stat-x-dump", "io-stats-dump", "system.nfs4_acl", "", "userx", "trusted.x"};
  for (unsigned i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
    EXPECT(!attribute_may_be_read(REFUSED[i]) && !attribute_may_be_set(REFUSED[i]));
  static const char *const ALLOWED[] = {"user.x", "user.mime_type", "system.posix_acl_access"};
  for (unsigned i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++)
    EXPECT(attribute_may_be_read(ALLOWED[i]) && attribute_may_be_set(ALLOWED[i]));
  EXPECT(attribute_may_be_read("security.capability") && !attribute_may_be_set("security.capability"));
}

static enum control control(const char *name, const char *token) {
  const char *text;
  return control_of(name, token, &text);
}

static void control_takes_the_token(void) {
  EXPECT(control("trusted.sluice.io.limits.abc", "abc") == CONTROL_LIMITS);
  EXPECT(control("trusted.sluice.io.statistics.abc", "abc") == CONTROL_STATISTICS);
  static const char *const REFUSED[] = {
      "trusted.sluice.io.statistics.abd", "trusted.sluice.io.statistics.abcd", "trusted.sluice.io.statistics.ab",
      "trusted.sluice.io.statistics.",    "trusted.sluice.io.statistics",      "trusted.sluice.io.statistics.abc.x",
      "trusted.sluice.io.limits.abd.x",   "trusted.sluice.io.limits.abcx.y",   "trusted.sluice.other.abc"};
  for (unsigned i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
    EXPECT(control(REFUSED[i], "abc") == CONTROL_REFUSED);
  EXPECT(control("trusted.sluice.io.statistics.", "") == CONTROL_REFUSED);
  EXPECT(control("trusted.sluice.io.limits..x", "") == CONTROL_REFUSED);
  EXPECT(control("trusted.other", "abc") == CONTROL_NONE);
  const char *text;
  EXPECT(control_of("trusted.sluice.io.limits.abc.read-ops=5", "abc", &text) == CONTROL_LIMITS);
  EXPECT(text != NULL && strcmp(text, "read-ops=5") == 0);
}

static void the_dying_are_told_from_the_living(void) {
#define STAT(flags, signals) "12 (a) b) D 1 12 12 0 -1 " flags " 0 0 0 0 0 0 0 0 20 0 1 0 100 1 1 1 1 1 1 1 1 " signals " 0 0"
  EXPECT(!stat_line_is_dying(STAT("4194304", "0")));
  EXPECT(stat_line_is_dying(STAT("4194308", "0")));
  EXPECT(stat_line_is_dying(STAT("4194304", "256")));
  EXPECT(!stat_line_is_dying(STAT("4194304", "16639"))); /* every other signal up to 15 */
  EXPECT(!stat_line_is_dying("nonsense"));
  EXPECT(!requester_is_dying(getpid()));
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
  EXPECT(requester_is_dying(child)); /* not waited for yet */
  waitpid(child, NULL, 0);
  EXPECT(requester_is_dying(child));
}

static void the_thread_lets_go_in_time(void) {
  struct gate *gate = new_gate(0, 0, 0, 0);
  struct limits limits = {.rates = {0, 0, 0, 100}, .burst_ms = 100};
  gate_set_limits(gate, &limits, gate_now());
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, gate_pace, gate) == 0);
  pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, NULL, 0);
  ticks began = gate_now();
  for (int i = 0; i < 50; i++) wait_in(gate, LANE_WRITE, written(1), gate_now(), 0);
  wait_in(gate, LANE_WRITE, written(1), gate_now(), dead);
  while (atomic_load(&gate->flows[FLOW_WRITE].queued) > 0 && gate_now() - began < 5 * TICKS_PER_SECOND) usleep(1000);
  double seconds = (double)(gate_now() - began) / (double)TICKS_PER_SECOND;
  usleep(20000); /* the last one is let go after it has left the queue */
  EXPECT(gone == 50);
  EXPECT(failed == 1);
  EXPECT(seconds > 0.45 && seconds < 0.8);
  /* The thread goes on for ever; the process ends with it. */
}

#define CASE(name) {#name, name}
static const struct {
  const char *name;
  void (*run)(void);
} CASES[] = {
    CASE(a_bucket_goes_into_debt_and_out_of_it),
    CASE(what_is_saved_ends_at_the_burst),
    CASE(rates_are_kept_in_the_long_run),
    CASE(the_stricter_of_two_dimensions_holds),
    CASE(directions_do_not_touch_each_other),
    CASE(who_comes_first_goes_first),
    CASE(data_and_the_rest_take_turns),
    CASE(what_costs_more_than_a_second_pays_before_it_goes),
    CASE(who_pays_for_long_stops_nobody_else),
    CASE(who_dies_takes_what_it_waits_for_along),
    CASE(a_higher_rate_helps_who_already_waits),
    CASE(a_copy_is_charged_on_both_sides),
    CASE(mounts_share_their_parents_bucket),
    CASE(a_shared_bucket_of_another_boot_does_not_stop_anybody),
    CASE(limits_are_read_from_text),
    CASE(latencies_have_classes),
    CASE(statistics_are_told_as_json),
    CASE(containers_get_only_attributes_that_are_some),
    CASE(control_takes_the_token),
    CASE(the_dying_are_told_from_the_living),
    CASE(the_thread_lets_go_in_time),
};

int main(void) {
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    int before = failures;
    CASES[i].run();
    printf("%s %s\n", failures == before ? "ok" : "FAILED", CASES[i].name);
  }
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
