/* What the translator's operations share: the one state of a client, and how an operation passes its gate. */
#ifndef SLUICE_TRANSLATOR_H
#define SLUICE_TRANSLATOR_H

#include "gluster.h"

#include "gate.h"

#define TOKEN_ROOM 128

/*
 * One for each process, and so for each mount: limits set live and counters outlive a change of the volume's graph, which
 * makes new translators while requests still pass through the old ones. For the same reason the library is never unloaded
 * (-z nodelete).
 */
struct client {
  struct gate gate;
  char token[TOKEN_ROOM]; /* empty: nobody may ask or set anything */
  bool set_live;          /* what was set live is stronger than options */
};

/* What moves no data is charged so much besides its operation, so that a limit of bytes alone holds it too. */
#define LOOK_BYTES 512    /* an inode of XFS */
#define CHANGE_BYTES 4096 /* the least that a journal writes */

static inline struct client *client_of(const xlator_t *this) { return this->private; }

/* What Gluster asks of itself (a change of graphs, a heal) has no requester, and is neither held up nor refused. */
static inline bool is_internal(const call_frame_t *frame) {
  return frame->root->state == NULL || frame->root->pid < 0;
}

/*
 * An operation's own frame keeps when it came where others keep a pointer: nothing has to be allocated. It must be taken
 * out before the frame unwinds, which would free it.
 */
static inline void note_arrival(call_frame_t *frame, ticks now) { frame->local = (void *)(intptr_t)now; }

/* Counts an operation that has come back. That something is not there is an answer, and no error. */
static inline void note_finish(call_frame_t *frame, const xlator_t *this, enum flow_kind kind, int32_t op_ret,
                               int32_t op_errno, uint64_t bytes) {
  ticks arrived = (ticks)(intptr_t)frame->local;
  frame->local = NULL;
  bool failed = op_ret < 0 && op_errno != ENOENT && op_errno != ENODATA;
  flow_finished(&client_of(this)->gate.flows[kind], (gate_now() - arrived) / TICKS_PER_NS, failed, bytes);
}

/* Whether it may go now. If not, `hold` it. */
static inline bool admit(call_frame_t *frame, const xlator_t *this, enum lane lane, const struct charge *charge) {
  ticks now = gate_now();
  note_arrival(frame, now);
  struct gate *gate = &client_of(this)->gate;
  return gate_is_free(gate, charge) || is_internal(frame) || gate_admit(gate, lane, charge, now);
}

/* Lets the request wait for its turn. False when there is no memory for it. */
bool hold(call_frame_t *frame, const xlator_t *this, enum lane lane, const struct charge *charge, bool harmless,
          call_stub_t *request);

/*
 * Defines FUNCTION, an operation that passes the gate and goes on below; it comes back in FUNCTION_done.
 *   lane       where it waits
 *   cost       a struct charge, from the operation's arguments
 *   harmless   whether it goes on if its requester dies
 *   PARAMETERS, ARGUMENTS   of the operation, after `this`
 */
#define UNWRAPPED(...) __VA_ARGS__
#define ENTERING(FUNCTION, NAME, lane, cost, harmless, PARAMETERS, ARGUMENTS)                                  \
  static int32_t FUNCTION##_go(call_frame_t *frame, xlator_t *this, UNWRAPPED PARAMETERS) {                    \
    STACK_WIND(frame, FUNCTION##_done, FIRST_CHILD(this), FIRST_CHILD(this)->fops->NAME, UNWRAPPED ARGUMENTS); \
    return 0;                                                                                                  \
  }                                                                                                            \
  int32_t FUNCTION(call_frame_t *frame, xlator_t *this, UNWRAPPED PARAMETERS) {                                \
    struct charge charge = cost;                                                                               \
    if (__builtin_expect(admit(frame, this, lane, &charge), 1))                                                \
      return FUNCTION##_go(frame, this, UNWRAPPED ARGUMENTS);                                                  \
    call_stub_t *request = fop_##NAME##_stub(frame, FUNCTION##_go, UNWRAPPED ARGUMENTS);                       \
    if (hold(frame, this, lane, &charge, harmless, request)) return 0;                                         \
    frame->local = NULL;                                                                                       \
    return default_##NAME##_failure_cbk(frame, ENOMEM);                                                        \
  }

/*
 * Defines FUNCTION_done, which counts and passes on what came back.
 *   kind    whose counters
 *   moved   bytes, from op_ret and the callback's arguments
 *   RESULT_PARAMETERS, RESULTS   of the callback, after `op_errno`
 */
#define RETURNING(FUNCTION, NAME, kind, moved, RESULT_PARAMETERS, RESULTS)                            \
  static int32_t FUNCTION##_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,   \
                                 int32_t op_errno, UNWRAPPED RESULT_PARAMETERS) {                     \
    (void)cookie;                                                                                     \
    note_finish(frame, this, kind, op_ret, op_errno, (uint64_t)(moved));                              \
    STACK_UNWIND_STRICT(NAME, frame, op_ret, op_errno, UNWRAPPED RESULTS);                            \
    return 0;                                                                                         \
  }

#define PASSING_EXPANDED(FUNCTION, NAME, kind, lane, cost, harmless, moved, PARAMETERS, ARGUMENTS, RESULT_PARAMETERS, \
                         RESULTS)                                                                                     \
  RETURNING(FUNCTION, NAME, kind, moved, RESULT_PARAMETERS, RESULTS)                                                     \
  ENTERING(FUNCTION, NAME, lane, cost, harmless, PARAMETERS, ARGUMENTS)

/* Both; and both for an operation of the table. Variadic, since PARAMETERS and what follows come in pairs from macros. */
#define PASSING_AS(...) PASSING_EXPANDED(__VA_ARGS__)
#define PASSING(NAME, ...) PASSING_AS(sluice_##NAME, NAME, __VA_ARGS__)

#define LOOK_COST ((struct charge){.units = {[READ_BYTES] = LOOK_BYTES, [READ_OPS] = 1}})
#define CHANGE_COST ((struct charge){.units = {[WRITE_BYTES] = CHANGE_BYTES, [WRITE_OPS] = 1}})
#define LOOKING(NAME, ...) PASSING(NAME, FLOW_METADATA, LANE_LOOK, LOOK_COST, false, 0, __VA_ARGS__)
#define CHANGING(NAME, ...) PASSING(NAME, FLOW_METADATA, LANE_CHANGE, CHANGE_COST, false, 0, __VA_ARGS__)

/* The operations, each in the file that is named; their types are those of Gluster's table. */
#define OPERATION(NAME) __typeof__(*((struct xlator_fops *)0)->NAME) sluice_##NAME
/* data.c */
OPERATION(readv);
OPERATION(writev);
OPERATION(fallocate);
OPERATION(discard);
OPERATION(zerofill);
OPERATION(copy_file_range);
/* names.c */
OPERATION(lookup);
OPERATION(create);
OPERATION(mknod);
OPERATION(mkdir);
OPERATION(unlink);
OPERATION(rmdir);
OPERATION(symlink);
OPERATION(rename);
OPERATION(link);
OPERATION(open);
OPERATION(opendir);
OPERATION(readdir);
OPERATION(readdirp);
OPERATION(readlink);
/* attributes.c */
OPERATION(stat);
OPERATION(fstat);
OPERATION(access);
OPERATION(statfs);
OPERATION(seek);
OPERATION(lk);
OPERATION(flush);
OPERATION(fsync);
OPERATION(fsyncdir);
OPERATION(truncate);
OPERATION(ftruncate);
OPERATION(setattr);
OPERATION(fsetattr);
/* xattrs.c */
OPERATION(getxattr);
OPERATION(fgetxattr);
OPERATION(setxattr);
OPERATION(fsetxattr);
OPERATION(removexattr);
OPERATION(fremovexattr);
#undef OPERATION

#endif
