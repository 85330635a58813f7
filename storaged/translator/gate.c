/* Who may go, and when (gate.h). */
#define _GNU_SOURCE
#include "gate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "requester.h"

/* Shared buckets may get another rate, and threads may die, without anybody waking us. */
#define LOOK_AGAIN (100 * TICKS_PER_MS)
/* Who has waited that long is looked at, again and again, whether it is still there. */
#define PATIENCE (200 * TICKS_PER_MS)
/* So many at a time: each takes some 10 µs. */
#define LOOKS 64

ticks gate_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return ((ticks)now.tv_sec * 1000000000 + now.tv_nsec) * TICKS_PER_NS;
}

bool gate_init(struct gate *gate, void (*go)(void *), void (*fail)(void *)) {
  memset(gate, 0, sizeof *gate);
  gate->go = go;
  gate->fail = fail;
  gate->turn[READS] = LANE_READ;
  gate->turn[WRITES] = LANE_WRITE;
  atomic_store(&gate->burst_ms, DEFAULT_BURST_MS);
  pthread_condattr_t monotonic;
  bool well = pthread_mutex_init(&gate->lock, NULL) == 0 && pthread_condattr_init(&monotonic) == 0 &&
              pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&gate->wake, &monotonic) == 0;
  return well;
}

void gate_set_limits(struct gate *gate, const struct limits *limits, ticks now) {
  pthread_mutex_lock(&gate->lock);
  for (int i = 0; i < DIMENSIONS; i++) bucket_set_rate(&gate->own[i], limits->rates[i], now);
  atomic_store_explicit(&gate->burst_ms, limits->burst_ms, memory_order_relaxed);
  pthread_cond_signal(&gate->wake);
  pthread_mutex_unlock(&gate->lock);
}

void gate_get_limits(const struct gate *gate, struct limits *limits) {
  for (int i = 0; i < DIMENSIONS; i++)
    limits->rates[i] = atomic_load_explicit(&gate->own[i].rate, memory_order_relaxed);
  limits->burst_ms = atomic_load_explicit(&gate->burst_ms, memory_order_relaxed);
}

bool gate_add_parent(struct gate *gate, struct shared_bucket *parent) {
  if (gate->parent_count == MOST_PARENTS) return false;
  gate->parents[gate->parent_count++] = parent;
  return true;
}

static enum direction direction_of(enum lane lane) {
  return lane == LANE_READ || lane == LANE_LOOK ? READS : WRITES;
}

static enum lane other_lane(enum lane lane) {
  static const enum lane OTHER[LANES] = {LANE_LOOK, LANE_CHANGE, LANE_READ, LANE_WRITE};
  return OTHER[lane];
}

static enum direction direction_of_dimension(int dimension) {
  return dimension == READ_BYTES || dimension == READ_OPS ? READS : WRITES;
}

static struct flow *flow_of(struct gate *gate, enum lane lane) {
  return &gate->flows[lane == LANE_READ ? FLOW_READ : lane == LANE_WRITE ? FLOW_WRITE : FLOW_METADATA];
}

/* How long until a request of that lane may draw from a bucket. */
static ticks wait_of(const struct bucket *bucket, enum lane lane, int dimension, ticks now) {
  ticks wait = bucket_wait(bucket, now);
  /* A copy also reads, but queues among the writers: before the readers' buckets it must have an advantage over the
     readers' queue, which would else always be there first. */
  if (direction_of_dimension(dimension) != direction_of(lane)) wait -= MOST_DEBT;
  return wait;
}

static ticks wait_for(const struct gate *gate, enum lane lane, const struct charge *charge, ticks now) {
  ticks longest = 0;
  for (int i = 0; i < DIMENSIONS; i++) {
    if (charge->units[i] == 0) continue;
    ticks wait = wait_of(&gate->own[i], lane, i, now);
    if (wait > longest) longest = wait;
    for (unsigned p = 0; p < gate->parent_count; p++) {
      wait = wait_of(&gate->parents[p]->buckets[i], lane, i, now);
      if (wait > longest) longest = wait;
    }
  }
  return longest;
}

static void take(struct gate *gate, const struct charge *charge, ticks now) {
  ticks burst = atomic_load_explicit(&gate->burst_ms, memory_order_relaxed) * TICKS_PER_MS;
  for (int i = 0; i < DIMENSIONS; i++) {
    if (charge->units[i] == 0) continue;
    bucket_take(&gate->own[i], charge->units[i], now, burst);
    for (unsigned p = 0; p < gate->parent_count; p++) {
      struct shared_bucket *parent = gate->parents[p];
      ticks their_burst = atomic_load_explicit(&parent->burst_ms, memory_order_relaxed) * TICKS_PER_MS;
      bucket_take(&parent->buckets[i], charge->units[i], now, their_burst);
    }
  }
}

/* What may be taken at once, so that no bucket is in debt for longer than MOST_DEBT by it. */
static uint64_t most_of(const struct gate *gate, int dimension) {
  uint64_t most = bucket_most(&gate->own[dimension]);
  for (unsigned p = 0; p < gate->parent_count; p++) {
    uint64_t theirs = bucket_most(&gate->parents[p]->buckets[dimension]);
    if (theirs < most) most = theirs;
  }
  return most;
}

/* Splits off what is paid for now, when it is too much for once; false when it is not. */
static bool instalment_of(const struct gate *gate, const struct charge *owed, struct charge *now_due) {
  bool is_split = false;
  for (int i = 0; i < DIMENSIONS; i++) {
    uint64_t most = most_of(gate, i);
    now_due->units[i] = owed->units[i] > most ? most : 0;
    if (owed->units[i] > most) is_split = true;
  }
  return is_split;
}

bool gate_admit(struct gate *gate, enum lane lane, const struct charge *charge, ticks now) {
  if (gate_is_free(gate, charge)) return true;
  struct charge part;
  pthread_mutex_lock(&gate->lock);
  bool may = gate->lanes[lane].first == NULL && gate->lanes[other_lane(lane)].first == NULL &&
             wait_for(gate, lane, charge, now) == 0 && !instalment_of(gate, charge, &part);
  if (may) take(gate, charge, now);
  pthread_mutex_unlock(&gate->lock);
  return may;
}

void gate_charge_after(struct gate *gate, const struct charge *charge, ticks now) {
  if (!gate_is_free(gate, charge)) take(gate, charge, now);
}

void gate_queue(struct gate *gate, enum lane lane, struct waiting *waiting) {
  struct flow *flow = flow_of(gate, lane);
  atomic_fetch_add_explicit(&flow->throttled, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&flow->queued, 1, memory_order_relaxed);
  waiting->looked_at = waiting->arrived;
  waiting->next = NULL;
  pthread_mutex_lock(&gate->lock);
  struct lane_queue *queue = &gate->lanes[lane];
  waiting->before = queue->last;
  if (queue->last == NULL)
    queue->first = waiting;
  else
    queue->last->next = waiting;
  queue->last = waiting;
  /* Only the head of a lane can be due before what the thread already waits for. */
  if (queue->first == waiting) pthread_cond_signal(&gate->wake);
  pthread_mutex_unlock(&gate->lock);
}

static void take_out(struct gate *gate, enum lane lane, struct waiting *waiting, ticks now) {
  struct lane_queue *queue = &gate->lanes[lane];
  *(waiting->before == NULL ? &queue->first : &waiting->before->next) = waiting->next;
  *(waiting->next == NULL ? &queue->last : &waiting->next->before) = waiting->before;
  struct flow *flow = flow_of(gate, lane);
  atomic_fetch_sub_explicit(&flow->queued, 1, memory_order_relaxed);
  if (now > waiting->arrived)
    atomic_fetch_add_explicit(&flow->throttled_ns, (uint64_t)(now - waiting->arrived) / TICKS_PER_NS,
                              memory_order_relaxed);
}

/* The head of the lane whose turn it is, or else of the other, if it may go; *due as in gate_drain. */
static struct waiting *next_of(struct gate *gate, enum direction direction, ticks now, enum lane *lane, ticks *due) {
  enum lane lanes[] = {gate->turn[direction], other_lane(gate->turn[direction])};
  for (int i = 0; i < 2; i++) {
    struct waiting *head = gate->lanes[lanes[i]].first;
    if (head == NULL) continue;
    ticks wait = wait_for(gate, lanes[i], &head->owed, now);
    *lane = lanes[i];
    if (wait == 0) return head;
    if (now + wait < *due) *due = now + wait;
  }
  return NULL;
}

struct waiting *gate_drain(struct gate *gate, ticks now, ticks *due) {
  struct waiting *first = NULL, **last = &first;
  *due = INT64_MAX;
  for (int direction = 0; direction < DIRECTIONS; direction++) {
    enum lane lane;
    struct waiting *head;
    while ((head = next_of(gate, (enum direction)direction, now, &lane, due)) != NULL) {
      struct charge part;
      gate->turn[direction] = other_lane(lane); /* after an instalment, too: who pays for long stops nobody */
      if (instalment_of(gate, &head->owed, &part)) {
        take(gate, &part, now);
        for (int i = 0; i < DIMENSIONS; i++) head->owed.units[i] -= part.units[i];
        continue;
      }
      take(gate, &head->owed, now);
      take_out(gate, lane, head, now);
      head->next = NULL;
      *last = head;
      last = &head->next;
    }
  }
  return first;
}

/* Threads to look at: those that have waited long and were not looked at lately. The lock is held. */
static unsigned impatient(struct gate *gate, ticks now, pid_t threads[LOOKS]) {
  unsigned count = 0;
  for (int lane = 0; lane < LANES; lane++)
    for (struct waiting *at = gate->lanes[lane].first; at != NULL && count < LOOKS; at = at->next) {
      if (at->thread <= 0 || now - at->looked_at < PATIENCE) continue;
      at->looked_at = now;
      threads[count++] = at->thread;
    }
  return count;
}

struct waiting *gate_take_of(struct gate *gate, const pid_t *threads, unsigned count, ticks now) {
  struct waiting *taken = NULL;
  for (int lane = 0; lane < LANES; lane++)
    for (struct waiting *at = gate->lanes[lane].first, *next; at != NULL; at = next) {
      next = at->next;
      bool is_one = false;
      for (unsigned i = 0; i < count && !is_one; i++) is_one = threads[i] == at->thread;
      if (!is_one) continue;
      take_out(gate, (enum lane)lane, at, now);
      at->next = taken;
      taken = at;
    }
  return taken;
}

/* Looks who of them is dying, without the lock, and ends what they wait for. */
static void dismiss(struct gate *gate, const pid_t *threads, unsigned count) {
  pid_t dying[LOOKS];
  unsigned many = 0;
  for (unsigned i = 0; i < count; i++)
    if (requester_is_dying(threads[i])) dying[many++] = threads[i];
  if (many == 0) return;
  pthread_mutex_lock(&gate->lock);
  struct waiting *taken = gate_take_of(gate, dying, many, gate_now());
  pthread_mutex_unlock(&gate->lock);
  for (struct waiting *next; taken != NULL; taken = next) {
    next = taken->next;
    (taken->harmless ? gate->go : gate->fail)(taken->request);
    free(taken);
  }
}

static void let_go(struct gate *gate, struct waiting *first) {
  for (struct waiting *next; first != NULL; first = next) {
    next = first->next;
    gate->go(first->request);
    free(first);
  }
}

static void sleep_until(struct gate *gate, ticks due) {
  if (due == INT64_MAX) {
    pthread_cond_wait(&gate->wake, &gate->lock);
    return;
  }
  int64_t ns = due / TICKS_PER_NS + 1;
  struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  pthread_cond_timedwait(&gate->wake, &gate->lock, &until);
}

void *gate_pace(void *pointer) {
  struct gate *gate = pointer;
  ticks look = 0;
  pthread_mutex_lock(&gate->lock);
  for (;;) {
    ticks now = gate_now(), due;
    struct waiting *first = gate_drain(gate, now, &due);
    pid_t threads[LOOKS];
    unsigned count = now < look ? 0 : impatient(gate, now, threads);
    if (now >= look) look = now + LOOK_AGAIN;
    if (first != NULL || count > 0) {
      pthread_mutex_unlock(&gate->lock);
      let_go(gate, first);
      dismiss(gate, threads, count);
      pthread_mutex_lock(&gate->lock);
      continue;
    }
    if (due != INT64_MAX && due > look) due = look;
    sleep_until(gate, due);
  }
  return NULL;
}
