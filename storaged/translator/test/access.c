/* Who may do what: names of attributes, the token, and who of those that wait is dying. */
#define _GNU_SOURCE
#include "test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../guard.h"
#include "../requester.h"

static enum control control(const char *name, const char *token) {
  const char *text;
  return control_of(name, token, &text);
}

static void containers_get_only_attributes_that_are_some(void) {
  static const char *const REFUSED[] = {
      "trusted.sluice.io.statistics", "trusted.glusterfs.pathinfo", "glusterfs.pathinfo", "glusterfs.gfid2path",
      "trusted.afr.x", "distribute.fix.layout", "replica.split-brain-choice", "user.glusterfs.x", "inode-invalidate",
      "user.io-stats-dump", "user.x-io-x-stat-x-dump", "io-stats-dump", "system.nfs4_acl", "", "userx", "trusted.x"};
  for (unsigned i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
    EXPECT(!attribute_may_be_read(REFUSED[i]) && !attribute_may_be_set(REFUSED[i]));
  static const char *const ALLOWED[] = {"user.x", "user.mime_type", "system.posix_acl_access"};
  for (unsigned i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++)
    EXPECT(attribute_may_be_read(ALLOWED[i]) && attribute_may_be_set(ALLOWED[i]));
  EXPECT(attribute_may_be_read("security.capability") && !attribute_may_be_set("security.capability"));
}

static void control_takes_the_token(void) {
  EXPECT(control("trusted.sluice.io.limits.abc", "abc") == CONTROL_LIMITS);
  EXPECT(control("trusted.sluice.io.statistics.abc", "abc") == CONTROL_STATISTICS);
  static const char *const REFUSED[] = {
      "trusted.sluice.io.statistics.abd", "trusted.sluice.io.statistics.abcd", "trusted.sluice.io.statistics.ab",
      "trusted.sluice.io.statistics.",    "trusted.sluice.io.statistics",      "trusted.sluice.io.statistics.abc.x",
      "trusted.sluice.io.limits.abd.x",   "trusted.sluice.io.limits.abcx.y",   "trusted.sluice.other.abc"};
  for (unsigned i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
    EXPECT(control(REFUSED[i], "abc") == CONTROL_REFUSED);
  EXPECT(control("trusted.sluice.io.statistics.", "") == CONTROL_REFUSED);
  EXPECT(control("trusted.sluice.io.limits..x", "") == CONTROL_REFUSED);
  EXPECT(control("trusted.other", "abc") == CONTROL_NONE);
  const char *text;
  EXPECT(control_of("trusted.sluice.io.limits.abc.read-ops=5", "abc", &text) == CONTROL_LIMITS);
  EXPECT(text != NULL && strcmp(text, "read-ops=5") == 0);
}

static void the_dying_are_told_from_the_living(void) {
#define STAT(flags, signals) "12 (a) b) D 1 12 12 0 -1 " flags " 0 0 0 0 0 0 0 0 20 0 1 0 100 1 1 1 1 1 1 1 1 " signals " 0 0"
  EXPECT(!stat_line_is_dying(STAT("4194304", "0")));
  EXPECT(stat_line_is_dying(STAT("4194308", "0")));
  EXPECT(stat_line_is_dying(STAT("4194304", "256")));
  EXPECT(!stat_line_is_dying(STAT("4194304", "16639"))); /* every other signal up to 15 */
  EXPECT(!stat_line_is_dying("nonsense"));
  EXPECT(!requester_is_dying(getpid()));
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
  EXPECT(requester_is_dying(child)); /* not waited for yet */
  waitpid(child, NULL, 0);
  EXPECT(requester_is_dying(child));
}

const struct test_case ACCESS_CASES[] = {
    CASE(containers_get_only_attributes_that_are_some),
    CASE(control_takes_the_token),
    CASE(the_dying_are_told_from_the_living),
    {NULL, NULL},
};
