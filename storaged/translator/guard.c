/* Which extended attributes a container may see and set (guard.h). */
#include "guard.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#define OURS "trusted.sluice."
#define LIMITS "trusted.sluice.io.limits."
#define STATISTICS "trusted.sluice.io.statistics."

static bool begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

static bool is_users(const char *name) {
  /* debug/io-stats looks for this anywhere in a name and then writes a file on the host. */
  if (fnmatch("*io*stat*dump", name, 0) == 0) return false;
  return begins(name, "user.") && !begins(name, "user.glusterfs");
}

static bool is_acl(const char *name) { return begins(name, "system.posix_acl_"); }

bool attribute_may_be_set(const char *name) { return is_users(name) || is_acl(name); }

bool attribute_may_be_read(const char *name) {
  return is_users(name) || is_acl(name) || begins(name, "security.");
}

/* Whether it begins with the token, in a time that says nothing about where they differ. */
static bool knows(const char *given, const char *token) {
  size_t length = strlen(token);
  if (length == 0 || strlen(given) < length) return false;
  unsigned char differs = 0;
  for (size_t i = 0; i < length; i++) differs |= (unsigned char)(given[i] ^ token[i]);
  return differs == 0;
}

enum control control_of(const char *name, const char *token, const char **text) {
  *text = NULL;
  if (!begins(name, OURS)) return CONTROL_NONE;
  bool is_limits = begins(name, LIMITS);
  if (!is_limits && !begins(name, STATISTICS)) return CONTROL_REFUSED;
  const char *given = name + strlen(is_limits ? LIMITS : STATISTICS);
  if (!knows(given, token)) return CONTROL_REFUSED;
  const char *rest = given + strlen(token);
  if (*rest == '\0') return is_limits ? CONTROL_LIMITS : CONTROL_STATISTICS;
  if (!is_limits || *rest != '.') return CONTROL_REFUSED;
  *text = rest + 1;
  return CONTROL_LIMITS;
}
