/* Maps buckets that several clients share (shared-bucket.h). */
#define _GNU_SOURCE
#include "shared-bucket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct shared_bucket *shared_bucket_map(const char *path, const char **why) {
  int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) {
    *why = strerror(errno);
    return NULL;
  }
  struct stat is;
  struct shared_bucket *bucket = MAP_FAILED;
  /* A mapping beyond the file's end would kill the client at its first look. */
  if (fstat(file, &is) != 0 || !S_ISREG(is.st_mode) || is.st_size < (off_t)sizeof *bucket)
    *why = "is too short";
  else if ((bucket = mmap(NULL, sizeof *bucket, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED)
    *why = strerror(errno);
  close(file);
  if (bucket == MAP_FAILED) return NULL;
  if (memcmp(bucket->magic, SHARED_BUCKET_MAGIC, sizeof bucket->magic) == 0 && bucket->version == SHARED_BUCKET_VERSION)
    return bucket;
  munmap(bucket, sizeof *bucket);
  *why = "is no shared bucket of this version";
  return NULL;
}
