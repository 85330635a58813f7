/* The translator in the role that it has in a brick: it keeps the last room for names (docs/translator.md). */
#ifndef SLUICE_ROOM_H
#define SLUICE_ROOM_H

#include "gluster.h"

/* Must stand right above storage/posix. -1 and a line in the log when it cannot be. */
int32_t room_init(xlator_t *this);
void room_fini(xlator_t *this);

#endif
