/*
 * Who may go, and when: the client's own buckets, those it shares, and the queues before them. Knows nothing of Gluster;
 * what waits is an opaque pointer. Every function that needs the time is given it, so that it can be tested with any.
 */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "bucket.h"
#include "flow.h"
#include "limits.h"
#include "shared-bucket.h"

/*
 * First come, first served within a lane. Data and the rest have lanes of their own that take turns before the same
 * buckets: else every look into a directory would wait behind all that a busy writer has queued.
 */
enum lane { LANE_READ, LANE_WRITE, LANE_LOOK, LANE_CHANGE, LANES };
enum direction { READS, WRITES, DIRECTIONS };

/* What an operation takes from each bucket. */
struct charge {
  uint64_t units[DIMENSIONS];
};

struct waiting {
  struct waiting *next, *before;
  struct charge owed;
  ticks arrived, looked_at;
  pid_t thread; /* who waits for it; 0: nobody in particular */
  bool harmless; /* when its thread dies, let it go rather than fail */
  void *request;
};

struct lane_queue {
  struct waiting *first, *last;
};

#define MOST_PARENTS 8

struct gate {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct bucket own[DIMENSIONS];
  _Atomic uint32_t burst_ms;
  struct shared_bucket *parents[MOST_PARENTS];
  unsigned parent_count;
  struct lane_queue lanes[LANES];
  enum lane turn[DIRECTIONS];
  struct flow flows[FLOWS];
  void (*go)(void *request);
  void (*fail)(void *request);
};

/* The machine's monotonic clock. */
ticks gate_now(void);

/* A gate without limits. `go` lets a request pass, `fail` ends it with EINTR; both are called without the lock. */
bool gate_init(struct gate *gate, void (*go)(void *), void (*fail)(void *));

/* Lets what waits go in time, for as long as the process lives: the body of a thread. */
void *gate_pace(void *gate);

void gate_set_limits(struct gate *gate, const struct limits *limits, ticks now);
void gate_get_limits(const struct gate *gate, struct limits *limits);
/* Before anything passes. */
bool gate_add_parent(struct gate *gate, struct shared_bucket *parent);

/* Whether none of the buckets it would draw from has a limit; the fast path. */
static inline bool gate_is_free(const struct gate *gate, const struct charge *charge) {
  for (int i = 0; i < DIMENSIONS; i++) {
    if (charge->units[i] == 0) continue;
    if (atomic_load_explicit(&gate->own[i].rate, memory_order_relaxed) != 0) return false;
    for (unsigned p = 0; p < gate->parent_count; p++)
      if (atomic_load_explicit(&gate->parents[p]->buckets[i].rate, memory_order_relaxed) != 0) return false;
  }
  return true;
}

/* Takes the charge and is true if the request may go now; else it must be queued. */
bool gate_admit(struct gate *gate, enum lane lane, const struct charge *charge, ticks now);

/* For what is known only afterwards; nobody waits for it but those who come next. */
void gate_charge_after(struct gate *gate, const struct charge *charge, ticks now);

/* The caller has filled `owed`, `arrived`, `thread`, `harmless` and `request`. It belongs to the gate until `go` or `fail`. */
void gate_queue(struct gate *gate, enum lane lane, struct waiting *waiting);

/*
 * Takes out all that may go now, as a list by `next`. The lock is held.
 * *due: when to ask again; INT64_MAX when nothing waits.
 */
struct waiting *gate_drain(struct gate *gate, ticks now, ticks *due);

/* Takes out what those threads wait for. The lock is held. */
struct waiting *gate_take_of(struct gate *gate, const pid_t *threads, unsigned count, ticks now);

#endif
