/*
 * In a brick, right above its disk: the last room is not for data. Who writes is told that there is none, before anything
 * of a piece is written, as long as names, removals and what Gluster notes down still have some. Without that, a disk that
 * is full takes a part of a piece, which an arbiter cannot know, and Gluster tells the writer of a connection that is
 * missing; and nothing could be removed, because Gluster first writes down that it will.
 */
#include "room.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "extents.h"

/* `SPARE_BLOCKS` of model/brick-size.ts. */
#define RESERVE ((int64_t)1024 * 4096)
/* Below so much every write asks the disk; above, what was written since it was asked is taken from what it had. */
#define NEAR ((int64_t)32 << 20)
/* Names that are no removals take none of the last half of the reserve. */
#define NAMES_RESERVE (RESERVE / 2)
#define BLOCK ((int64_t)4096)
/* What must be free besides before a disk that was full takes data again. */
#define OPENS_WITH ((int64_t)1 << 20)
/* Of the mount point: how many bytes the brick has room for (linux/xfs.ts). */
#define SIZE_ATTRIBUTE "trusted.sluice.bytes"
#define RECLAIM_EVERY_NS ((int64_t)100 * 1000 * 1000)

/* struct xfs_fs_eofblocks of fs/xfs/libxfs/xfs_fs.h, whose header no package of ours installs. */
struct eof_blocks {
  uint32_t version, flags, uid, gid, project, pad;
  uint64_t least_size, pad_more[12];
};
#define EOF_BLOCKS_VERSION 1
#define EOF_BLOCKS_SYNC 1
#define FREE_EOF_BLOCKS _IOR('X', 58, struct eof_blocks)

struct room {
  char brick[PATH_MAX];
  char point[PATH_MAX];        /* what is mounted, above the brick */
  _Atomic int64_t lead;        /* how much may be written before the disk is asked again */
  _Atomic int64_t under_way;   /* admitted, and not yet on the disk */
  _Atomic int64_t reclaimed_at; /* monotonic, in ns */
  _Atomic bool full;            /* somebody was refused */
  pthread_mutex_t deciding;
};

static struct room *room_of(const xlator_t *this) { return this->private; }

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -1 when the disk does not say. */
static int64_t available(const struct room *room) {
  struct statvfs is;
  if (statvfs(room->brick, &is) != 0) return -1;
  return (int64_t)(is.f_bavail * is.f_frsize);
}

/* Room that XFS has given to files beyond their ends, in the hope that they grow, is taken back. */
static bool reclaim(struct room *room) {
  int64_t now = now_ns(), before = atomic_load(&room->reclaimed_at);
  if (now - before < RECLAIM_EVERY_NS || !atomic_compare_exchange_strong(&room->reclaimed_at, &before, now)) return false;
  int directory = open(room->brick, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  struct eof_blocks all = {.version = EOF_BLOCKS_VERSION, .flags = EOF_BLOCKS_SYNC};
  bool well = ioctl(directory, FREE_EOF_BLOCKS, &all) == 0;
  close(directory);
  return well;
}

/*
 * Who has been refused is refused until there is a little more. The copies of a set fill alike, but not to the block; one
 * that refused a piece which another took must not go on with the next, or each would lack what the other has.
 * A disk that does not say how much it has decides by itself.
 */
static bool fits_now(struct room *room, int64_t bytes) {
  int64_t free = available(room);
  if (free < 0) return true;
  if (free > NEAR + bytes) atomic_store(&room->lead, (free - NEAR) / 2);
  int64_t least = RESERVE + (atomic_load(&room->full) ? OPENS_WITH : 0);
  return free - atomic_load(&room->under_way) - bytes >= least;
}

static bool fits(struct room *room, int64_t bytes) {
  bool well = fits_now(room, bytes) || (reclaim(room) && fits_now(room, bytes));
  atomic_store(&room->full, !well);
  return well;
}

static bool is_far_from_full(struct room *room, int64_t bytes) {
  return atomic_fetch_sub(&room->lead, bytes) >= bytes;
}

/* Whole blocks, as the disk gives them. */
static int64_t blocks_of(off_t offset, size_t length) {
  int64_t first = offset / BLOCK, end = (offset + (int64_t)length + BLOCK - 1) / BLOCK;
  return (end - first) * BLOCK;
}

/* What is under way counts until it is on the disk; two that come at once must not both be given the last. */
static bool admit_data(struct room *room, int64_t bytes) {
  if (is_far_from_full(room, bytes)) {
    atomic_fetch_add(&room->under_way, bytes);
    return true;
  }
  pthread_mutex_lock(&room->deciding);
  bool admitted = fits(room, bytes);
  if (admitted) atomic_fetch_add(&room->under_way, bytes);
  pthread_mutex_unlock(&room->deciding);
  return admitted;
}

/* By its number every file has a name below .glusterfs (xlators/storage/posix/src/posix-handle.h). */
static bool has_its_room(const struct room *room, const fd_t *fd, off_t offset, size_t length) {
  char path[PATH_MAX + 64];
  const uint8_t *id = fd->inode->gfid;
  snprintf(path, sizeof path, "%s/.glusterfs/%02x/%02x/%s", room->brick, id[0], id[1], uuid_utoa(fd->inode->gfid));
  return range_is_allocated(path, (uint64_t)offset, length);
}

/* Gluster's own work: what heals a copy must not stop where the copy that it is made from did not. */
static bool is_glusters_own(const call_frame_t *frame, dict_t *xdata) {
  return frame->root->pid < 0 || (xdata != NULL && dict_get(xdata, GLUSTERFS_INTERNAL_FOP_KEY) != NULL);
}

/* The bytes that it holds of what is under way, or -1: there is no room. */
static int64_t enter(const call_frame_t *frame, const xlator_t *this, const fd_t *fd, off_t offset, size_t length,
                     dict_t *xdata) {
  struct room *room = room_of(this);
  int64_t bytes = blocks_of(offset, length);
  if (is_glusters_own(frame, xdata)) return 0;
  if (admit_data(room, bytes)) return bytes;
  return has_its_room(room, fd, offset, length) ? 0 : -1;
}

/* A frame keeps the bytes where others keep a pointer; it must be taken out before the frame unwinds. */
static void leave(call_frame_t *frame, const xlator_t *this) {
  atomic_fetch_sub(&room_of(this)->under_way, (int64_t)(intptr_t)frame->local);
  frame->local = NULL;
}

#define ALLOCATING(NAME, OFFSET, LENGTH, PARAMETERS, ARGUMENTS)                                                       \
  static int32_t room_##NAME##_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,                \
                                    int32_t op_errno, struct iatt *before, struct iatt *after, dict_t *xdata) {       \
    (void)cookie;                                                                                                     \
    leave(frame, this);                                                                                               \
    STACK_UNWIND_STRICT(NAME, frame, op_ret, op_errno, before, after, xdata);                                         \
    return 0;                                                                                                         \
  }                                                                                                                   \
  static int32_t room_##NAME PARAMETERS {                                                                             \
    int64_t bytes = enter(frame, this, fd, OFFSET, LENGTH, xdata);                                                    \
    if (bytes < 0) {                                                                                                  \
      STACK_UNWIND_STRICT(NAME, frame, -1, ENOSPC, NULL, NULL, NULL);                                                 \
      return 0;                                                                                                       \
    }                                                                                                                 \
    frame->local = (void *)(intptr_t)bytes;                                                                           \
    STACK_WIND ARGUMENTS;                                                                                             \
    return 0;                                                                                                         \
  }

ALLOCATING(writev, offset, iov_length(vector, count),
           (call_frame_t * frame, xlator_t *this, fd_t *fd, struct iovec *vector, int32_t count, off_t offset,
            uint32_t flags, struct iobref *buffers, dict_t *xdata),
           (frame, room_writev_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->writev, fd, vector, count, offset,
            flags, buffers, xdata))

ALLOCATING(fallocate, offset, length,
           (call_frame_t * frame, xlator_t *this, fd_t *fd, int32_t keep_size, off_t offset, size_t length,
            dict_t *xdata),
           (frame, room_fallocate_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->fallocate, fd, keep_size, offset,
            length, xdata))

ALLOCATING(zerofill, offset, (size_t)length,
           (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset, off_t length, dict_t *xdata),
           (frame, room_zerofill_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->zerofill, fd, offset, length, xdata))

static int32_t room_copy_file_range_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
                                         int32_t op_errno, struct iatt *source, struct iatt *before, struct iatt *after,
                                         dict_t *xdata) {
  (void)cookie;
  leave(frame, this);
  STACK_UNWIND_STRICT(copy_file_range, frame, op_ret, op_errno, source, before, after, xdata);
  return 0;
}

static int32_t room_copy_file_range(call_frame_t *frame, xlator_t *this, fd_t *from, off64_t from_offset, fd_t *to,
                                    off64_t to_offset, size_t length, uint32_t flags, dict_t *xdata) {
  int64_t bytes = enter(frame, this, to, to_offset, length, xdata);
  if (bytes < 0) return default_copy_file_range_failure_cbk(frame, ENOSPC);
  frame->local = (void *)(intptr_t)bytes;
  STACK_WIND(frame, room_copy_file_range_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->copy_file_range, from,
             from_offset, to, to_offset, length, flags, xdata);
  return 0;
}

/* What is made anew takes room, too; but the last of it is for those who remove. */
static bool admits_name(const call_frame_t *frame, const xlator_t *this, dict_t *xdata) {
  struct room *room = room_of(this);
  if (is_far_from_full(room, BLOCK) || is_glusters_own(frame, xdata)) return true;
  int64_t free = available(room);
  return free < 0 || free >= NAMES_RESERVE;
}

#define NAMING(NAME, FAILURE, PARAMETERS, ARGUMENTS)                                                \
  static int32_t room_##NAME PARAMETERS {                                                           \
    if (admits_name(frame, this, xdata)) {                                                          \
      STACK_WIND_TAIL(frame, FIRST_CHILD(this), FIRST_CHILD(this)->fops->NAME, ARGUMENTS);          \
      return 0;                                                                                     \
    }                                                                                               \
    return FAILURE(frame, ENOSPC);                                                                  \
  }
#define LISTED(...) __VA_ARGS__

NAMING(mknod, default_mknod_failure_cbk,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, mode_t mode, dev_t device, mode_t umask, dict_t *xdata),
       LISTED(loc, mode, device, umask, xdata))
NAMING(mkdir, default_mkdir_failure_cbk,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, mode_t mode, mode_t umask, dict_t *xdata),
       LISTED(loc, mode, umask, xdata))
NAMING(symlink, default_symlink_failure_cbk,
       (call_frame_t * frame, xlator_t *this, const char *to, loc_t *loc, mode_t umask, dict_t *xdata),
       LISTED(to, loc, umask, xdata))
NAMING(create, default_create_failure_cbk,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, int32_t flags, mode_t mode, mode_t umask, fd_t *fd,
        dict_t *xdata),
       LISTED(loc, flags, mode, umask, fd, xdata))
NAMING(setxattr, default_setxattr_failure_cbk,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *values, int32_t flags, dict_t *xdata),
       LISTED(loc, values, flags, xdata))

/* What was asked for as the brick's size; 0 when it does not say. */
static uint64_t wanted_bytes(const struct room *room) {
  char text[32];
  ssize_t length = getxattr(room->point, SIZE_ATTRIBUTE, text, sizeof text - 1);
  if (length <= 0) return 0;
  text[length] = '\0';
  return strtoull(text, NULL, 10);
}

/* Free is what data may take; and the disk is as large as was asked for, whatever its file system needs besides. */
static void show_room(struct room *room, struct statvfs *is) {
  uint64_t reserve = (uint64_t)RESERVE / is->f_frsize, wanted = wanted_bytes(room) / is->f_frsize;
  uint64_t least = reserve + (atomic_load(&room->full) ? OPENS_WITH / is->f_frsize : 0);
  is->f_bavail = is->f_bavail > least ? is->f_bavail - reserve : 0;
  if (wanted > 0 && wanted < is->f_blocks) is->f_blocks = wanted;
  if (is->f_bavail > is->f_blocks) is->f_bavail = is->f_blocks;
  is->f_bfree = is->f_bavail;
}

static int32_t room_statfs_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                                struct statvfs *is, dict_t *xdata) {
  (void)cookie;
  if (op_ret >= 0 && is != NULL && is->f_frsize > 0) show_room(room_of(this), is);
  STACK_UNWIND_STRICT(statfs, frame, op_ret, op_errno, is, xdata);
  return 0;
}

static int32_t room_statfs(call_frame_t *frame, xlator_t *this, loc_t *loc, dict_t *xdata) {
  STACK_WIND(frame, room_statfs_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->statfs, loc, xdata);
  return 0;
}

static struct xlator_fops operations;

static void fill_operations(void) {
  operations = *default_fops;
  operations.writev = room_writev;
  operations.fallocate = room_fallocate;
  operations.zerofill = room_zerofill;
  operations.copy_file_range = room_copy_file_range;
  operations.mknod = room_mknod;
  operations.mkdir = room_mkdir;
  operations.symlink = room_symlink;
  operations.create = room_create;
  operations.setxattr = room_setxattr;
  operations.statfs = room_statfs;
}

int32_t room_init(xlator_t *this) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  char *brick = NULL;
  if (dict_get_str(FIRST_CHILD(this)->options, "directory", &brick) != 0 || strlen(brick) >= PATH_MAX) {
    gf_log(this->name, GF_LOG_ERROR, "must stand right above storage/posix");
    return -1;
  }
  struct room *room = calloc(1, sizeof *room);
  if (room == NULL) return -1;
  strcpy(room->brick, brick);
  strcpy(room->point, brick);
  char *last = strrchr(room->point, '/');
  if (last != NULL && last != room->point) *last = '\0';
  pthread_mutex_init(&room->deciding, NULL);
  pthread_once(&once, fill_operations);
  this->fops = &operations;
  this->private = room;
  return 0;
}

void room_fini(xlator_t *this) {
  free(room_of(this));
  this->private = NULL;
}
