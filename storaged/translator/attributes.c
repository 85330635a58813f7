/* Operations on what a file is, on locks, and those that bring it to the disk. */
#include "translator.h"

#include "requester.h"

#define STAT_RESULT (struct iatt * attributes, dict_t * xdata), (attributes, xdata)
#define BEFORE_AND_AFTER (struct iatt * before, struct iatt * after, dict_t * xdata), (before, after, xdata)
#define NO_RESULT (dict_t * xdata), (xdata)

static __typeof__(sluice_stat) pass_stat;
PASSING_AS(pass_stat, stat, FLOW_METADATA, LANE_LOOK, LOOK_COST, false, 0, (loc_t * loc, dict_t *xdata), (loc, xdata),
           STAT_RESULT)

/*
 * Before the kernel lets anybody ask for an attribute of the root, such as for statistics, it wants to know whose the root
 * is. The machine's own root must not wait for that behind what a container has queued.
 */
int32_t sluice_stat(call_frame_t *frame, xlator_t *this, loc_t *loc, dict_t *xdata) {
  const struct charge charge = LOOK_COST;
  if (gate_is_free(&client_of(this)->gate, &charge) || frame->root->uid != 0 || !__is_root_gfid(loc->inode->gfid) ||
      !requester_is_at_home(frame->root->pid))
    return pass_stat(frame, this, loc, xdata);
  note_arrival(frame, gate_now());
  return pass_stat_go(frame, this, loc, xdata);
}

LOOKING(fstat, (fd_t * fd, dict_t *xdata), (fd, xdata), STAT_RESULT)

LOOKING(access, (loc_t * loc, int32_t mask, dict_t *xdata), (loc, mask, xdata), NO_RESULT)

LOOKING(statfs, (loc_t * loc, dict_t *xdata), (loc, xdata), (struct statvfs * is, dict_t *xdata), (is, xdata))

LOOKING(seek, (fd_t * fd, off_t offset, gf_seek_what_t what, dict_t *xdata), (fd, offset, what, xdata),
        (off_t found, dict_t *xdata), (found, xdata))

LOOKING(lk, (fd_t * fd, int32_t command, struct gf_flock *lock, dict_t *xdata), (fd, command, lock, xdata),
        (struct gf_flock * held, dict_t *xdata), (held, xdata))

/* Every close(2), and so also those of a process that ends: it lets go of locks, and must not be left out. */
PASSING(flush, FLOW_METADATA, LANE_LOOK, LOOK_COST, true, 0, (fd_t * fd, dict_t *xdata), (fd, xdata), NO_RESULT)

CHANGING(fsync, (fd_t * fd, int32_t data_only, dict_t *xdata), (fd, data_only, xdata), BEFORE_AND_AFTER)

CHANGING(fsyncdir, (fd_t * fd, int32_t data_only, dict_t *xdata), (fd, data_only, xdata), NO_RESULT)

CHANGING(truncate, (loc_t * loc, off_t size, dict_t *xdata), (loc, size, xdata), BEFORE_AND_AFTER)

CHANGING(ftruncate, (fd_t * fd, off_t size, dict_t *xdata), (fd, size, xdata), BEFORE_AND_AFTER)

CHANGING(setattr, (loc_t * loc, struct iatt *attributes, int32_t valid, dict_t *xdata),
         (loc, attributes, valid, xdata), BEFORE_AND_AFTER)

CHANGING(fsetattr, (fd_t * fd, struct iatt *attributes, int32_t valid, dict_t *xdata), (fd, attributes, valid, xdata),
         BEFORE_AND_AFTER)
