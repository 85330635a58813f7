/* Whether a part of a file has its room on the disk already, so that writing there takes none. */
#ifndef SLUICE_EXTENTS_H
#define SLUICE_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

/* False also when nobody can tell. */
bool range_is_allocated(const char *path, uint64_t from, uint64_t length);

#endif
