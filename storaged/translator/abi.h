/* Whether this library and libglusterfs were built with the same idea of the structures that both touch. */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include "gluster.h"

/* NULL, or one sentence on what differs. Must be asked before any field of `this` is used. */
const char *abi_difference(xlator_t *this);

#endif
