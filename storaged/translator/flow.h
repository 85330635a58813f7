/* What went through: counters of one kind of operation, and how they are told. */
#ifndef SLUICE_FLOW_H
#define SLUICE_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bucket.h"
#include "limits.h"

#define LATENCY_CLASSES 32

/* Each on cache lines of its own; every counter is relaxed: none is read to decide anything. */
struct flow {
  _Atomic uint64_t ops, bytes, errors, throttled, throttled_ns;
  _Atomic int64_t queued;
  /* Finished within 2^n microseconds but not 2^(n-1), waiting included. */
  _Atomic uint64_t latency[LATENCY_CLASSES];
} __attribute__((aligned(64)));

enum flow_kind { FLOW_READ, FLOW_WRITE, FLOW_METADATA, FLOWS };

/* The class of a latency. */
unsigned latency_class(int64_t nanoseconds);

void flow_finished(struct flow *flow, int64_t nanoseconds, bool failed, uint64_t bytes);

/*
 * MountStatistics (model/volume-report.ts) as JSON.
 * Returns its length, or -1 when it does not fit.
 */
int statistics_write(char *text, size_t room, const uint64_t rates[DIMENSIONS], const struct flow flows[FLOWS]);

#endif
