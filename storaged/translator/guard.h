/* Which extended attributes a container may see and set on a shared volume. */
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include <stdbool.h>

/*
 * Gluster answers to dozens of names that are no attributes but commands and questions about its inside, many of them to
 * anybody. So a list of what is allowed, not of what is not: `user.*`, POSIX ACLs, and, for reading, `security.*`.
 */
bool attribute_may_be_read(const char *name);
bool attribute_may_be_set(const char *name);

enum control { CONTROL_NONE, CONTROL_LIMITS, CONTROL_STATISTICS, CONTROL_REFUSED };

/*
 * Whether the name is one of our own: trusted.sluice.io.limits.TOKEN, trusted.sluice.io.statistics.TOKEN, and the first
 * with a dot and new limits behind it, to which *text then points; NULL when there are none.
 * `CONTROL_REFUSED`: it would be, with the right token. An empty token opens nothing.
 */
enum control control_of(const char *name, const char *token, const char **text);

#endif
