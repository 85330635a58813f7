/* The limits of one client: four rates and a burst, and how they are written. */
#ifndef SLUICE_LIMITS_H
#define SLUICE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dimension { READ_BYTES, WRITE_BYTES, READ_OPS, WRITE_OPS, DIMENSIONS };

struct limits {
  uint64_t rates[DIMENSIONS]; /* per second; 0: without limit */
  uint32_t burst_ms;
};

#define DEFAULT_BURST_MS 100
#define LEAST_BURST_MS 1
#define MOST_BURST_MS 10000
/* Under these a request's turn is so far away that nobody can tell it from a hanging disk (model/quantity.ts has the same). */
#define LEAST_BYTES_RATE 64000
#define LEAST_OPS_RATE 5
#define MOST_RATE 1000000000000000ULL

/* As in options and texts, such as "read-bytes". */
const char *dimension_name(enum dimension dimension);

/* Raises what is lower than can be held to the least that can; read back it shows as what it is. */
uint64_t limits_held(enum dimension dimension, uint64_t rate);

/*
 * Reads "read-bytes=N,write-bytes=N,read-ops=N,write-ops=N,burst-ms=N", in any order; what is not named stays as it is
 * in *limits. False, with *limits unchanged, for anything else.
 */
bool limits_parse(const char *text, size_t length, struct limits *limits);

/* Writes them so that limits_parse reads the same. Returns the length, or -1 when it does not fit. */
int limits_write(char *text, size_t room, const struct limits *limits);

#endif
