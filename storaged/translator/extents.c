/* Asks the file system which parts of a file have room of their own (FIEMAP, linux/fiemap.h). */
#include "extents.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define AT_ONCE 32

struct map {
  struct fiemap head;
  struct fiemap_extent extents[AT_ONCE];
};

/* How far the file is allocated without a gap, from there on; `end` is enough. */
static uint64_t allocated_up_to(int file, uint64_t from, uint64_t end) {
  uint64_t at = from;
  while (at < end) {
    struct map map = {.head = {.fm_start = at, .fm_length = end - at, .fm_extent_count = AT_ONCE}};
    if (ioctl(file, FS_IOC_FIEMAP, &map) != 0) return from;
    uint32_t count = map.head.fm_mapped_extents;
    for (uint32_t i = 0; i < count; i++) {
      const struct fiemap_extent *extent = &map.extents[i];
      if (extent->fe_logical > at) return at;
      at = extent->fe_logical + extent->fe_length;
    }
    if (count < AT_ONCE) return at;
  }
  return at;
}

bool range_is_allocated(const char *path, uint64_t from, uint64_t length) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  uint64_t end = from + length;
  bool allocated = end >= from && allocated_up_to(file, from, end) >= end;
  close(file);
  return allocated;
}
