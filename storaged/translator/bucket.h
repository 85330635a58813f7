/*
 * A token bucket with debt, kept as a point in time: up to when what went through is paid for. Whoever comes later than
 * that may go, whatever it costs, and moves the point on by its cost (the generic cell rate algorithm, ITU-T I.371
 * annex A.1, with the whole tolerance given to the first comer). One word holds all, so that it can lie in shared memory.
 */
#ifndef SLUICE_BUCKET_H
#define SLUICE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Time in sixteenths of a nanosecond of CLOCK_MONOTONIC: a 512-byte block at 10 GB/s still has a cost, and an int64 lasts for 18 years. */
typedef int64_t ticks;
#define TICKS_PER_NS 16
#define TICKS_PER_MS ((ticks)TICKS_PER_NS * 1000 * 1000)
#define TICKS_PER_SECOND (1000 * TICKS_PER_MS)

/* What one admission may put a bucket into debt with; what costs more pays in instalments (lanes.c). */
#define MOST_DEBT TICKS_PER_SECOND
/* No admissions lead so far ahead: such a point is of another boot, or damage, and counts for nothing. */
#define ABSURD_DEBT (16 * TICKS_PER_SECOND)

struct bucket {
  _Atomic uint64_t rate; /* units per second; 0: without limit */
  _Atomic ticks paid_until;
};

/* What so many units take at that rate. */
ticks bucket_cost(uint64_t rate, uint64_t units);

/* How many units one admission may cost at most without paying in instalments; UINT64_MAX without limit. */
uint64_t bucket_most(const struct bucket *bucket);

/* How long until somebody may go; 0: now. */
ticks bucket_wait(const struct bucket *bucket, ticks now);

/* Takes the units, into debt where need be. What has not been used in time is kept for `burst` at most. */
void bucket_take(struct bucket *bucket, uint64_t units, ticks now, ticks burst);

/* Debt stays, as time; what was saved up under the old rate does not. */
void bucket_set_rate(struct bucket *bucket, uint64_t rate, ticks now);

#endif
