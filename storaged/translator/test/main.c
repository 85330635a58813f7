/* Runs all cases, and prints one line for each: "ok NAME", or where something else was expected and "FAILED NAME". */
#include "test.h"

#include <stdlib.h>

int failures, checks;
unsigned gone, failed;

static void went(void *request) {
  (void)request;
  gone++;
}
static void was_failed(void *request) {
  (void)request;
  failed++;
}

struct gate *new_gate(uint64_t read_bytes, uint64_t write_bytes, uint64_t read_ops, uint64_t write_ops) {
  struct gate *gate = aligned_alloc(64, (sizeof *gate + 63) / 64 * 64);
  if (gate == NULL || !gate_init(gate, went, was_failed)) abort();
  struct limits limits = {.rates = {read_bytes, write_bytes, read_ops, write_ops}, .burst_ms = 100};
  gate_set_limits(gate, &limits, START);
  gone = failed = 0;
  return gate;
}

int main(void) {
  static const struct test_case *const LISTS[] = {BUCKET_CASES, GATE_CASES, TEXT_CASES, ACCESS_CASES};
  for (size_t list = 0; list < sizeof LISTS / sizeof *LISTS; list++)
    for (const struct test_case *one = LISTS[list]; one->name != NULL; one++) {
      int before = failures;
      one->run();
      printf("%s %s\n", failures == before ? "ok" : "FAILED", one->name);
    }
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
