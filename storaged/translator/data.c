/* Operations that move data, or allocate or free room for it: counted and charged by their bytes. */
#include "translator.h"

/* What is asked for is charged, not what comes: that is what readers wait for, and all that is known before. */
#define READ_COST(BYTES) ((struct charge){.units = {[READ_BYTES] = (uint64_t)(BYTES), [READ_OPS] = 1}})
#define WRITE_COST(BYTES) ((struct charge){.units = {[WRITE_BYTES] = (uint64_t)(BYTES), [WRITE_OPS] = 1}})
#define COPY_COST(BYTES)                                                       \
  ((struct charge){.units = {[READ_BYTES] = (uint64_t)(BYTES),                 \
                             [WRITE_BYTES] = (uint64_t)(BYTES),                \
                             [READ_OPS] = 1,                                   \
                             [WRITE_OPS] = 1}})

#define MOVED (op_ret > 0 ? op_ret : 0)
#define BEFORE_AND_AFTER (struct iatt * before, struct iatt * after, dict_t * xdata), (before, after, xdata)

PASSING(readv, FLOW_READ, LANE_READ, READ_COST(size), false, MOVED,
        (fd_t * fd, size_t size, off_t offset, uint32_t flags, dict_t *xdata), (fd, size, offset, flags, xdata),
        (struct iovec * vector, int32_t count, struct iatt *after, struct iobref *buffers, dict_t *xdata),
        (vector, count, after, buffers, xdata))

PASSING(writev, FLOW_WRITE, LANE_WRITE, WRITE_COST(iov_length(vector, count)), false, MOVED,
        (fd_t * fd, struct iovec *vector, int32_t count, off_t offset, uint32_t flags, struct iobref *buffers,
         dict_t *xdata),
        (fd, vector, count, offset, flags, buffers, xdata), BEFORE_AND_AFTER)

PASSING(copy_file_range, FLOW_WRITE, LANE_WRITE, COPY_COST(length), false, MOVED,
        (fd_t * from, off64_t from_offset, fd_t *to, off64_t to_offset, size_t length, uint32_t flags, dict_t *xdata),
        (from, from_offset, to, to_offset, length, flags, xdata),
        (struct iatt * source, struct iatt *before, struct iatt *after, dict_t *xdata), (source, before, after, xdata))

/* These give no number back, and move nothing over the wire: bytes that count as written are those of `writev` alone. */
PASSING(fallocate, FLOW_WRITE, LANE_WRITE, WRITE_COST(length), false, 0,
        (fd_t * fd, int32_t keep_size, off_t offset, size_t length, dict_t *xdata),
        (fd, keep_size, offset, length, xdata), BEFORE_AND_AFTER)

PASSING(discard, FLOW_WRITE, LANE_WRITE, WRITE_COST(length), false, 0,
        (fd_t * fd, off_t offset, size_t length, dict_t *xdata), (fd, offset, length, xdata), BEFORE_AND_AFTER)

PASSING(zerofill, FLOW_WRITE, LANE_WRITE, WRITE_COST(length), false, 0,
        (fd_t * fd, off_t offset, off_t length, dict_t *xdata), (fd, offset, length, xdata), BEFORE_AND_AFTER)
