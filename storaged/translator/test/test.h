/*
 * What the tests of the translator's pure parts share: a check that counts, gates under a clock that the test turns, and the
 * lists of cases, which main.c runs. Run by ../translator.test.ts.
 */
#ifndef SLUICE_IO_TEST_H
#define SLUICE_IO_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../gate.h"

extern int failures, checks;
#define EXPECT(what)                                                   \
  do {                                                                 \
    checks++;                                                          \
    if (!(what)) {                                                     \
      failures++;                                                      \
      printf("%s:%d: expected %s\n", __FILE__, __LINE__, #what);       \
    }                                                                  \
  } while (0)

struct test_case {
  const char *name;
  void (*run)(void);
};
#define CASE(name) {#name, name}

/* Each ends with a case that has no name. */
extern const struct test_case ACCESS_CASES[], BUCKET_CASES[], GATE_CASES[], TEXT_CASES[];

#define START (1000 * TICKS_PER_SECOND)

/* Requests that the last gate has let go, and has given up. */
extern unsigned gone, failed;

/* With a burst of 100 ms; 0 is no limit. free() it. */
struct gate *new_gate(uint64_t read_bytes, uint64_t write_bytes, uint64_t read_ops, uint64_t write_ops);

static inline struct charge written(uint64_t bytes) { return (struct charge){.units = {0, bytes, 0, 1}}; }
static inline struct charge was_read(uint64_t bytes) { return (struct charge){.units = {bytes, 0, 1, 0}}; }

#endif
