/*
 * Extended attributes: what a container may not see or set is refused here, at the top of the graph, before any other
 * translator can take it for a command; and the host's root asks for statistics and sets limits.
 */
#include "translator.h"

#include "guard.h"

#define STATISTICS_ROOM 16384

/* The value's bytes count as written, or a quota could be passed by in attributes of 64 KiB. */
static struct charge cost_of_values(dict_t *values) {
  int length = values == NULL ? 0 : dict_serialized_length(values);
  return (struct charge){
      .units = {[WRITE_BYTES] = CHANGE_BYTES + (length > 0 ? (uint64_t)length : 0), [WRITE_OPS] = 1}};
}

static void charge_value(const call_frame_t *frame, const xlator_t *this, int32_t length) {
  if (length <= 0 || is_internal(frame)) return;
  struct charge charge = {.units = {[READ_BYTES] = (uint64_t)length}};
  gate_charge_after(&client_of(this)->gate, &charge, gate_now());
}

#define SET_RESULT (dict_t * xdata), (xdata)

static int drop_hidden(dict_t *dict, char *name, data_t *value, void *unused) {
  (void)value;
  (void)unused;
  if (!attribute_may_be_read(name)) dict_del(dict, name);
  return 0;
}

/* A list of all must not tell of those that are refused. It may be another's, so a copy is changed. */
static dict_t *without_hidden(const call_frame_t *frame, dict_t *attributes) {
  if (is_internal(frame)) return dict_ref(attributes);
  dict_t *copy = dict_copy_with_ref(attributes, NULL);
  if (copy != NULL) dict_foreach(copy, drop_hidden, NULL);
  return copy;
}

/* Of both getxattr and fgetxattr, whose results are the same. */
static int32_t attributes_came(call_frame_t *frame, xlator_t *this, int32_t op_ret, int32_t op_errno,
                               dict_t *attributes, dict_t *xdata) {
  charge_value(frame, this, op_ret);
  note_finish(frame, this, FLOW_METADATA, op_ret, op_errno, 0);
  dict_t *visible = op_ret < 0 || attributes == NULL ? NULL : without_hidden(frame, attributes);
  if (op_ret >= 0 && attributes != NULL && visible == NULL) {
    op_ret = -1;
    op_errno = ENOMEM;
  }
  STACK_UNWIND_STRICT(getxattr, frame, op_ret, op_errno, visible, xdata);
  if (visible != NULL) dict_unref(visible);
  return 0;
}

static int32_t pass_getxattr_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                                  dict_t *attributes, dict_t *xdata) {
  (void)cookie;
  return attributes_came(frame, this, op_ret, op_errno, attributes, xdata);
}

static int32_t pass_fgetxattr_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                                   dict_t *attributes, dict_t *xdata) {
  (void)cookie;
  return attributes_came(frame, this, op_ret, op_errno, attributes, xdata);
}

static __typeof__(sluice_getxattr) pass_getxattr;
static __typeof__(sluice_fgetxattr) pass_fgetxattr;
static __typeof__(sluice_setxattr) pass_setxattr;
static __typeof__(sluice_fsetxattr) pass_fsetxattr;
static __typeof__(sluice_removexattr) pass_removexattr;
static __typeof__(sluice_fremovexattr) pass_fremovexattr;

ENTERING(pass_getxattr, getxattr, LANE_LOOK, LOOK_COST, false, (loc_t * loc, const char *name, dict_t *xdata),
         (loc, name, xdata))
ENTERING(pass_fgetxattr, fgetxattr, LANE_LOOK, LOOK_COST, false, (fd_t * fd, const char *name, dict_t *xdata),
         (fd, name, xdata))

PASSING_AS(pass_setxattr, setxattr, FLOW_METADATA, LANE_CHANGE, cost_of_values(values), false, 0,
           (loc_t * loc, dict_t *values, int32_t flags, dict_t *xdata), (loc, values, flags, xdata), SET_RESULT)
PASSING_AS(pass_fsetxattr, fsetxattr, FLOW_METADATA, LANE_CHANGE, cost_of_values(values), false, 0,
           (fd_t * fd, dict_t *values, int32_t flags, dict_t *xdata), (fd, values, flags, xdata), SET_RESULT)
PASSING_AS(pass_removexattr, removexattr, FLOW_METADATA, LANE_CHANGE, CHANGE_COST, false, 0,
           (loc_t * loc, const char *name, dict_t *xdata), (loc, name, xdata), SET_RESULT)
PASSING_AS(pass_fremovexattr, fremovexattr, FLOW_METADATA, LANE_CHANGE, CHANGE_COST, false, 0,
           (fd_t * fd, const char *name, dict_t *xdata), (fd, name, xdata), SET_RESULT)

/* False when it cannot be read; then nothing has changed. */
static bool set_limits(struct client *client, const char *text, size_t length) {
  struct limits limits;
  gate_get_limits(&client->gate, &limits);
  if (!limits_parse(text, length, &limits)) return false;
  client->set_live = true;
  gate_set_limits(&client->gate, &limits, gate_now());
  return true;
}

/*
 * What one of our own names says. Returns its length, or -1 with *failed set. Limits can be set by asking, too: to set an
 * attribute the kernel locks the file, and a container that waits for its turn to change it would hold that lock.
 */
static int answer(struct client *client, const char *name, char *text, size_t room, int32_t *failed) {
  const char *wanted;
  enum control control = control_of(name, client->token, &wanted);
  *failed = control == CONTROL_REFUSED || control == CONTROL_NONE ? ENODATA : ENOSPC;
  if (*failed == ENODATA) return -1;
  if (wanted != NULL && !set_limits(client, wanted, strlen(wanted))) {
    *failed = EINVAL;
    return -1;
  }
  struct limits limits;
  gate_get_limits(&client->gate, &limits);
  if (control == CONTROL_LIMITS) return limits_write(text, room, &limits);
  return statistics_write(text, room, limits.rates, client->gate.flows);
}

static int32_t give_answer(call_frame_t *frame, const xlator_t *this, const char *name) {
  char text[STATISTICS_ROOM];
  int32_t failed = 0;
  int length = answer(client_of(this), name, text, sizeof text, &failed);
  dict_t *values = length < 0 ? NULL : dict_new();
  char *value = values == NULL ? NULL : gf_strdup(text);
  if (length >= 0 && (value == NULL || dict_set_dynptr(values, (char *)name, value, (size_t)length) != 0)) {
    GF_FREE(value);
    length = -1;
    failed = ENOMEM;
  }
  STACK_UNWIND_STRICT(getxattr, frame, length, failed, length < 0 ? NULL : values, NULL);
  if (values != NULL) dict_unref(values);
  return 0;
}

static bool is_hidden(const call_frame_t *frame, const char *name) {
  return name != NULL && !is_internal(frame) && !attribute_may_be_read(name);
}

int32_t sluice_getxattr(call_frame_t *frame, xlator_t *this, loc_t *loc, const char *name, dict_t *xdata) {
  if (is_hidden(frame, name)) return give_answer(frame, this, name);
  return pass_getxattr(frame, this, loc, name, xdata);
}

/*
 * From the kernel all questions come by path. By descriptor comes only mount/fuse's own wish to interrupt somebody who
 * waits for a lock; without it a killed process would wait on.
 */
int32_t sluice_fgetxattr(call_frame_t *frame, xlator_t *this, fd_t *fd, const char *name, dict_t *xdata) {
  if (name != NULL && strncmp(name, GF_XATTR_INTRLK_CMD, strlen(GF_XATTR_INTRLK_CMD)) == 0) {
    STACK_WIND_TAIL(frame, FIRST_CHILD(this), FIRST_CHILD(this)->fops->fgetxattr, fd, name, xdata);
    return 0;
  }
  if (is_hidden(frame, name)) return give_answer(frame, this, name);
  return pass_fgetxattr(frame, this, fd, name, xdata);
}

/* What a set of values asks for: 0: to be passed on; else the errno of a refusal, or -1: limits have been set. */
struct wish {
  struct client *client;
  int32_t outcome;
};

static int judge(dict_t *dict, char *name, data_t *value, void *pointer) {
  (void)dict;
  struct wish *wish = pointer;
  if (attribute_may_be_set(name)) return 0;
  const char *text;
  if (control_of(name, wish->client->token, &text) != CONTROL_LIMITS || text != NULL)
    wish->outcome = EPERM;
  else
    wish->outcome = set_limits(wish->client, value->data, (size_t)value->len) ? -1 : EINVAL;
  return wish->outcome > 0 ? -1 : 0;
}

static int32_t outcome_of(const call_frame_t *frame, const xlator_t *this, dict_t *values) {
  struct wish wish = {.client = client_of(this), .outcome = 0};
  if (!is_internal(frame) && values != NULL) dict_foreach(values, judge, &wish);
  return wish.outcome;
}

int32_t sluice_setxattr(call_frame_t *frame, xlator_t *this, loc_t *loc, dict_t *values, int32_t flags,
                        dict_t *xdata) {
  int32_t outcome = outcome_of(frame, this, values);
  if (outcome == 0) return pass_setxattr(frame, this, loc, values, flags, xdata);
  STACK_UNWIND_STRICT(setxattr, frame, outcome < 0 ? 0 : -1, outcome < 0 ? 0 : outcome, NULL);
  return 0;
}

int32_t sluice_fsetxattr(call_frame_t *frame, xlator_t *this, fd_t *fd, dict_t *values, int32_t flags,
                         dict_t *xdata) {
  int32_t outcome = outcome_of(frame, this, values);
  if (outcome == 0) return pass_fsetxattr(frame, this, fd, values, flags, xdata);
  STACK_UNWIND_STRICT(fsetxattr, frame, outcome < 0 ? 0 : -1, outcome < 0 ? 0 : outcome, NULL);
  return 0;
}

int32_t sluice_removexattr(call_frame_t *frame, xlator_t *this, loc_t *loc, const char *name, dict_t *xdata) {
  if (is_internal(frame) || attribute_may_be_set(name)) return pass_removexattr(frame, this, loc, name, xdata);
  STACK_UNWIND_STRICT(removexattr, frame, -1, EPERM, NULL);
  return 0;
}

int32_t sluice_fremovexattr(call_frame_t *frame, xlator_t *this, fd_t *fd, const char *name, dict_t *xdata) {
  if (is_internal(frame) || attribute_may_be_set(name)) return pass_fremovexattr(frame, this, fd, name, xdata);
  STACK_UNWIND_STRICT(fremovexattr, frame, -1, EPERM, NULL);
  return 0;
}
