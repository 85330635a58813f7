/* Counts what went through, and tells it as JSON (flow.h). */
#include "flow.h"

#include <stdarg.h>
#include <stdio.h>

unsigned latency_class(int64_t nanoseconds) {
  if (nanoseconds <= 1000) return 0;
  uint64_t microseconds = ((uint64_t)nanoseconds + 999) / 1000;
  unsigned class = 64 - (unsigned)__builtin_clzll(microseconds - 1);
  return class < LATENCY_CLASSES ? class : LATENCY_CLASSES - 1;
}

static void add(_Atomic uint64_t *counter, uint64_t much) {
  atomic_fetch_add_explicit(counter, much, memory_order_relaxed);
}

static uint64_t read_counter(const _Atomic uint64_t *counter) {
  return atomic_load_explicit(counter, memory_order_relaxed);
}

void flow_finished(struct flow *flow, int64_t nanoseconds, bool failed, uint64_t bytes) {
  add(&flow->latency[latency_class(nanoseconds)], 1);
  if (failed) {
    add(&flow->errors, 1);
    return;
  }
  add(&flow->ops, 1);
  if (bytes > 0) add(&flow->bytes, bytes);
}

struct text {
  char *at;
  size_t room;
  bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text->at, text->room, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= text->room) {
    text->full = true;
    return;
  }
  text->at += length;
  text->room -= (size_t)length;
}

static void put_flow(struct text *text, const char *name, const struct flow *flow) {
  int64_t queued = atomic_load_explicit(&flow->queued, memory_order_relaxed);
  put(text, ",\"%s\":{\"ops\":%lu,\"bytes\":%lu,\"errors\":%lu,\"throttled\":%lu,\"throttledMs\":%.3f,\"queued\":%ld", name,
      read_counter(&flow->ops), read_counter(&flow->bytes), read_counter(&flow->errors),
      read_counter(&flow->throttled), (double)read_counter(&flow->throttled_ns) / 1e6, queued < 0 ? 0 : queued);
  put(text, ",\"latency\":[");
  unsigned used = LATENCY_CLASSES;
  while (used > 0 && read_counter(&flow->latency[used - 1]) == 0) used--;
  for (unsigned i = 0; i < used; i++) put(text, i == 0 ? "%lu" : ",%lu", read_counter(&flow->latency[i]));
  put(text, "]}");
}

static void put_rate(struct text *text, const char *name, uint64_t rate) {
  if (rate == 0)
    put(text, "\"%s\":null", name);
  else
    put(text, "\"%s\":%lu", name, rate);
}

int statistics_write(char *buffer, size_t room, const uint64_t rates[DIMENSIONS], const struct flow flows[FLOWS]) {
  static const char *const FIELDS[DIMENSIONS] = {"volume.read", "volume.write", "volume.readOps", "volume.writeOps"};
  struct text text = {.at = buffer, .room = room, .full = false};
  put(&text, "{\"limits\":{");
  for (int i = 0; i < DIMENSIONS; i++) {
    if (i > 0) put(&text, ",");
    put_rate(&text, FIELDS[i], rates[i]);
  }
  put(&text, "}");
  put_flow(&text, "read", &flows[FLOW_READ]);
  put_flow(&text, "write", &flows[FLOW_WRITE]);
  put_flow(&text, "metadata", &flows[FLOW_METADATA]);
  put(&text, "}");
  return text.full ? -1 : (int)(text.at - buffer);
}
