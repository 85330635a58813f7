/* Who may go when: rates, lanes, those who wait, and the thread that lets them go. */
#define _GNU_SOURCE
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* How many bytes pass within a time when `size` is wanted at every moment. */
static uint64_t passed(struct gate *gate, enum lane lane, struct charge each, uint64_t size, ticks span) {
  uint64_t bytes = 0;
  for (ticks now = START; now < START + span; now += TICKS_PER_MS)
    while (gate_admit(gate, lane, &each, now)) bytes += size;
  return bytes;
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

const struct test_case GATE_CASES[] = {
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
    CASE(the_thread_lets_go_in_time),
    {NULL, NULL},
};
