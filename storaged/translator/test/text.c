/* What is read from text and told in it: limits, statistics, classes of latency. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "../flow.h"
#include "../limits.h"

static bool parses(const char *text, struct limits *limits) { return limits_parse(text, strlen(text), limits); }

static void limits_are_read_from_text(void) {
  struct limits limits = {.rates = {1, 2, 3, 4}, .burst_ms = 100};
  EXPECT(parses("read-bytes=500000,write-bytes=600000,read-ops=7,write-ops=8,burst-ms=50", &limits));
  EXPECT(limits.rates[0] == 500000 && limits.rates[1] == 600000 && limits.rates[2] == 7 && limits.rates[3] == 8);
  EXPECT(limits.burst_ms == 50);
  EXPECT(parses("write-ops=0", &limits) && limits.rates[3] == 0 && limits.rates[2] == 7);
  EXPECT(limits_parse("read-ops=9\n", 11, &limits) && limits.rates[2] == 9);
  EXPECT(limits_parse("read-ops=10\0", 12, &limits) && limits.rates[2] == 10);
  EXPECT(parses("write-ops=1", &limits) && limits.rates[3] == LEAST_OPS_RATE);
  EXPECT(parses("write-bytes=1", &limits) && limits.rates[1] == LEAST_BYTES_RATE);
  EXPECT(parses("write-bytes=999999999999999999", &limits) && limits.rates[1] == MOST_RATE);
  struct limits before = limits;
  static const char *const WRONG[] = {"",          "read-bytes",      "read-bytes=",    "read-bytes=-1", "read-bytes=1x",
                                      "reads=1",   "read-ops=1,",     ",read-ops=1",    "read-ops = 1",  "burst-ms=0",
                                      "=1",        "burst-ms=100000", "read-ops=1;x=2", "read-ops=0x10", "read-ops=1,,",
                                      "read-ops=5,nonsense=1", "read-bytes=99999999999999999999"};
  for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) EXPECT(!parses(WRONG[i], &limits));
  EXPECT(memcmp(before.rates, limits.rates, sizeof limits.rates) == 0 && before.burst_ms == limits.burst_ms);
  char text[200], again[200];
  struct limits read_back = {.burst_ms = 1};
  EXPECT(limits_write(text, sizeof text, &limits) > 0 && parses(text, &read_back));
  EXPECT(limits_write(again, sizeof again, &read_back) > 0 && strcmp(text, again) == 0);
  EXPECT(limits_write(text, 20, &limits) == -1);
}

static void latencies_have_classes(void) {
  EXPECT(latency_class(-5) == 0 && latency_class(0) == 0 && latency_class(1000) == 0);
  EXPECT(latency_class(1001) == 1 && latency_class(2000) == 1 && latency_class(2001) == 2);
  EXPECT(latency_class(4000) == 2 && latency_class(4001) == 3);
  EXPECT(latency_class(1000000) == 10);  /* 1 ms is 1000 µs <= 1024 */
  EXPECT(latency_class(1024001) == 11);
  EXPECT(latency_class(INT64_MAX) == LATENCY_CLASSES - 1);
}

static void statistics_are_told_as_json(void) {
  struct gate *gate = new_gate(0, 1000000, 0, 5);
  flow_finished(&gate->flows[FLOW_WRITE], 1500, false, 4096);
  flow_finished(&gate->flows[FLOW_WRITE], 500, true, 0);
  char text[8192];
  struct limits limits;
  gate_get_limits(gate, &limits);
  int length = statistics_write(text, sizeof text, limits.rates, gate->flows);
  EXPECT(length > 0 && (size_t)length == strlen(text));
  EXPECT(strstr(text, "{\"limits\":{\"volume.read\":null,\"volume.write\":1000000,\"volume.readOps\":null,"
                      "\"volume.writeOps\":5},\"read\":{\"ops\":0,") == text);
  EXPECT(strstr(text, "\"write\":{\"ops\":1,\"bytes\":4096,\"errors\":1,\"throttled\":0,\"throttledMs\":0.000,"
                      "\"queued\":0,\"latency\":[1,1]}") != NULL);
  EXPECT(statistics_write(text, 100, limits.rates, gate->flows) == -1);
  free(gate);
}

const struct test_case TEXT_CASES[] = {
    CASE(limits_are_read_from_text),
    CASE(latencies_have_classes),
    CASE(statistics_are_told_as_json),
    {NULL, NULL},
};
