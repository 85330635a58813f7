/*
 * Buckets that several clients of a node draw from together: a file that each maps. Who made it (storaged) writes
 * magic, version, rates and burst; clients write `paid_until` alone. All numbers are in the machine's own byte order.
 *
 *   offset  bytes  what
 *        0      8  magic "SLUICEIO"
 *        8      4  version, 1
 *       12      4  burst in ms
 *       16     16  read bytes:   rate per second (0: no limit), paid_until (0 at first)
 *       32     16  write bytes
 *       48     16  read operations
 *       64     16  write operations
 *       80         end
 */
#ifndef SLUICE_SHARED_BUCKET_H
#define SLUICE_SHARED_BUCKET_H

#include <stddef.h>

#include "bucket.h"
#include "limits.h"

#define SHARED_BUCKET_MAGIC "SLUICEIO"
#define SHARED_BUCKET_VERSION 1

struct shared_bucket {
  char magic[8];
  uint32_t version;
  _Atomic uint32_t burst_ms;
  struct bucket buckets[DIMENSIONS];
};

_Static_assert(offsetof(struct shared_bucket, buckets) == 16, "the layout above");
_Static_assert(sizeof(struct bucket) == 16, "the layout above");
_Static_assert(sizeof(struct shared_bucket) == 80, "the layout above");

/* Maps it for as long as the process lives. NULL, with a reason in *why, where it is none. */
struct shared_bucket *shared_bucket_map(const char *path, const char **why);

#endif
