/* A token bucket with debt, kept as a point in time (bucket.h). */
#include "bucket.h"

ticks bucket_cost(uint64_t rate, uint64_t units) {
  if (rate == 0) return 0;
  if (units <= UINT64_MAX / (uint64_t)TICKS_PER_SECOND) return (ticks)(units * (uint64_t)TICKS_PER_SECOND / rate);
  unsigned __int128 cost = (unsigned __int128)units * (uint64_t)TICKS_PER_SECOND / rate;
  return cost > INT64_MAX / 2 ? INT64_MAX / 2 : (ticks)cost;
}

uint64_t bucket_most(const struct bucket *bucket) {
  uint64_t rate = atomic_load_explicit(&bucket->rate, memory_order_relaxed);
  return rate == 0 ? UINT64_MAX : rate * (uint64_t)(MOST_DEBT / TICKS_PER_SECOND);
}

ticks bucket_wait(const struct bucket *bucket, ticks now) {
  if (atomic_load_explicit(&bucket->rate, memory_order_relaxed) == 0) return 0;
  ticks wait = atomic_load_explicit(&bucket->paid_until, memory_order_relaxed) - now;
  return wait <= 0 || wait > ABSURD_DEBT ? 0 : wait;
}

void bucket_take(struct bucket *bucket, uint64_t units, ticks now, ticks burst) {
  uint64_t rate = atomic_load_explicit(&bucket->rate, memory_order_relaxed);
  if (rate == 0 || units == 0) return;
  ticks cost = bucket_cost(rate, units);
  ticks before = atomic_load_explicit(&bucket->paid_until, memory_order_relaxed);
  ticks after;
  do {
    ticks start = before;
    if (start < now - burst) start = now - burst;
    if (start > now + ABSURD_DEBT) start = now;
    after = start + cost;
  } while (!atomic_compare_exchange_weak_explicit(&bucket->paid_until, &before, after, memory_order_relaxed,
                                                  memory_order_relaxed));
}

void bucket_set_rate(struct bucket *bucket, uint64_t rate, ticks now) {
  if (atomic_load_explicit(&bucket->rate, memory_order_relaxed) == rate) return;
  ticks debt = atomic_load_explicit(&bucket->paid_until, memory_order_relaxed) - now;
  if (debt < 0 || debt > MOST_DEBT) debt = debt < 0 ? 0 : MOST_DEBT;
  atomic_store_explicit(&bucket->paid_until, now + debt, memory_order_relaxed);
  atomic_store_explicit(&bucket->rate, rate, memory_order_relaxed);
}
