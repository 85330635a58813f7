/* Buckets: debts and what is saved, and those that mounts share by a file. */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../bucket.h"
#include "../shared-bucket.h"

static struct shared_bucket *make_shared(const char *path, uint64_t write_bytes) {
  struct shared_bucket file = {.magic = SHARED_BUCKET_MAGIC, .version = SHARED_BUCKET_VERSION, .burst_ms = 100};
  atomic_store(&file.buckets[WRITE_BYTES].rate, write_bytes);
  int out = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (out < 0 || write(out, &file, sizeof file) != sizeof file) abort();
  close(out);
  const char *why = NULL;
  return shared_bucket_map(path, &why);
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

static void a_shared_bucket_of_another_boot_does_not_stop_anybody(void) {
  struct bucket bucket = {.rate = 1000, .paid_until = START + 3600 * TICKS_PER_SECOND};
  EXPECT(bucket_wait(&bucket, START) == 0);
  bucket_take(&bucket, 500, START, 0);
  EXPECT(bucket_wait(&bucket, START) == TICKS_PER_SECOND / 2);
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

const struct test_case BUCKET_CASES[] = {
    CASE(a_bucket_goes_into_debt_and_out_of_it),
    CASE(a_shared_bucket_of_another_boot_does_not_stop_anybody),
    CASE(mounts_share_their_parents_bucket),
    {NULL, NULL},
};
