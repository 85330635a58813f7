/* Reads limits from text, and writes them (limits.h). */
#include "limits.h"

#include <stdio.h>
#include <string.h>

static const char *const NAMES[DIMENSIONS] = {"read-bytes", "write-bytes", "read-ops", "write-ops"};

const char *dimension_name(enum dimension dimension) { return NAMES[dimension]; }

uint64_t limits_held(enum dimension dimension, uint64_t rate) {
  uint64_t least = dimension == READ_BYTES || dimension == WRITE_BYTES ? LEAST_BYTES_RATE : LEAST_OPS_RATE;
  if (rate == 0) return 0;
  if (rate > MOST_RATE) return MOST_RATE;
  return rate < least ? least : rate;
}

/* Digits only, as many as there are. */
static bool parse_number(const char *at, const char *end, uint64_t *number) {
  if (at == end || end - at > 18) return false; /* eighteen digits fit */
  *number = 0;
  for (; at < end; at++) {
    if (*at < '0' || *at > '9') return false;
    *number = *number * 10 + (uint64_t)(*at - '0');
  }
  return true;
}

static bool is_key(const char *at, size_t length, const char *key) {
  return strlen(key) == length && memcmp(at, key, length) == 0;
}

static bool set_one(const char *key, size_t length, uint64_t number, struct limits *limits) {
  for (int i = 0; i < DIMENSIONS; i++) {
    if (!is_key(key, length, NAMES[i])) continue;
    limits->rates[i] = limits_held((enum dimension)i, number);
    return true;
  }
  if (!is_key(key, length, "burst-ms") || number < LEAST_BURST_MS || number > MOST_BURST_MS) return false;
  limits->burst_ms = (uint32_t)number;
  return true;
}

bool limits_parse(const char *text, size_t length, struct limits *limits) {
  struct limits parsed = *limits;
  const char *end = text + length;
  while (end > text && (end[-1] == '\0' || end[-1] == '\n')) end--;
  if (text == end) return false;
  for (const char *at = text;;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma == NULL ? end : comma;
    const char *equals = memchr(at, '=', (size_t)(stop - at));
    uint64_t number;
    if (equals == NULL || !parse_number(equals + 1, stop, &number) ||
        !set_one(at, (size_t)(equals - at), number, &parsed))
      return false;
    if (comma == NULL) break;
    at = comma + 1;
  }
  *limits = parsed;
  return true;
}

int limits_write(char *text, size_t room, const struct limits *limits) {
  int length = snprintf(text, room, "read-bytes=%lu,write-bytes=%lu,read-ops=%lu,write-ops=%lu,burst-ms=%u",
                        limits->rates[READ_BYTES], limits->rates[WRITE_BYTES], limits->rates[READ_OPS],
                        limits->rates[WRITE_OPS], limits->burst_ms);
  return length < 0 || (size_t)length >= room ? -1 : length;
}
