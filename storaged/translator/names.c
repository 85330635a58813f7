/* Operations on names and directories. */
#include "translator.h"

#include <fcntl.h>

#define NEW_ENTRY                                                                                              \
  (inode_t * inode, struct iatt * attributes, struct iatt * before, struct iatt * after, dict_t * xdata),      \
      (inode, attributes, before, after, xdata)
#define ENTRY_GONE (struct iatt * before, struct iatt * after, dict_t * xdata), (before, after, xdata)

LOOKING(lookup, (loc_t * loc, dict_t *xdata), (loc, xdata),
        (inode_t * inode, struct iatt *attributes, dict_t *xdata, struct iatt *parent),
        (inode, attributes, xdata, parent))

CHANGING(create, (loc_t * loc, int32_t flags, mode_t mode, mode_t umask, fd_t *fd, dict_t *xdata),
         (loc, flags, mode, umask, fd, xdata),
         (fd_t * fd, inode_t *inode, struct iatt *attributes, struct iatt *before, struct iatt *after, dict_t *xdata),
         (fd, inode, attributes, before, after, xdata))

CHANGING(mknod, (loc_t * loc, mode_t mode, dev_t device, mode_t umask, dict_t *xdata),
         (loc, mode, device, umask, xdata), NEW_ENTRY)

CHANGING(mkdir, (loc_t * loc, mode_t mode, mode_t umask, dict_t *xdata), (loc, mode, umask, xdata), NEW_ENTRY)

CHANGING(symlink, (const char *target, loc_t *loc, mode_t umask, dict_t *xdata), (target, loc, umask, xdata),
         NEW_ENTRY)

CHANGING(link, (loc_t * from, loc_t *to, dict_t *xdata), (from, to, xdata), NEW_ENTRY)

CHANGING(unlink, (loc_t * loc, int flags, dict_t *xdata), (loc, flags, xdata), ENTRY_GONE)

CHANGING(rmdir, (loc_t * loc, int flags, dict_t *xdata), (loc, flags, xdata), ENTRY_GONE)

CHANGING(rename, (loc_t * from, loc_t *to, dict_t *xdata), (from, to, xdata),
         (struct iatt * attributes, struct iatt *old_before, struct iatt *old_after, struct iatt *new_before,
          struct iatt *new_after, dict_t *xdata),
         (attributes, old_before, old_after, new_before, new_after, xdata))

/* The kernel sends a truncation of its own as an attribute; only some servers do it while opening. */
LOOKING(open, (loc_t * loc, int32_t flags, fd_t *fd, dict_t *xdata), (loc, flags, fd, xdata),
        (fd_t * fd, dict_t *xdata), (fd, xdata))

LOOKING(opendir, (loc_t * loc, fd_t *fd, dict_t *xdata), (loc, fd, xdata), (fd_t * fd, dict_t *xdata), (fd, xdata))

LOOKING(readlink, (loc_t * loc, size_t size, dict_t *xdata), (loc, size, xdata),
        (const char *target, struct iatt *attributes, dict_t *xdata), (target, attributes, xdata))

/* How many entries come is known only then: each costs what a look at it would have cost. */
static void charge_entries(const call_frame_t *frame, const xlator_t *this, int32_t entries) {
  if (entries <= 1 || is_internal(frame)) return;
  struct charge charge = {.units = {[READ_BYTES] = (uint64_t)(entries - 1) * LOOK_BYTES}};
  gate_charge_after(&client_of(this)->gate, &charge, gate_now());
}

#define LISTING_RESULT (gf_dirent_t * entries, dict_t * xdata), (entries, xdata)

PASSING(readdir, FLOW_METADATA, LANE_LOOK, LOOK_COST, false, (charge_entries(frame, this, op_ret), 0),
        (fd_t * fd, size_t size, off_t offset, dict_t *xdata), (fd, size, offset, xdata), LISTING_RESULT)

PASSING(readdirp, FLOW_METADATA, LANE_LOOK, LOOK_COST, false, (charge_entries(frame, this, op_ret), 0),
        (fd_t * fd, size_t size, off_t offset, dict_t *xdata), (fd, size, offset, xdata), LISTING_RESULT)
