/* Who waits for a request: whether nobody will see the answer any more, and whether it is the machine itself. */
#ifndef SLUICE_REQUESTER_H
#define SLUICE_REQUESTER_H

#include <stdbool.h>
#include <sys/types.h>

/* What /proc/PID/stat says (proc_pid_stat(5), fields 9 and 31): exiting, or killed. For tests. */
bool stat_line_is_dying(const char *line);

/* True too when it is gone. False where it cannot be told. */
bool requester_is_dying(pid_t thread);

/* Whether its process namespace is ours: then it is in no container. */
bool requester_is_at_home(pid_t thread);

#endif
