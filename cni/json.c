/* The little JSON the relay needs: find top-level strings in an object, and write a string. */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No network configuration nests deeper; the limit keeps hostile input off the stack. */
#define DEEPEST 128

struct scan {
  const char *at;
  const char *end;
};

static bool value(struct scan *scan, int depth);

static int peek(const struct scan *scan) {
  return scan->at < scan->end ? (unsigned char)*scan->at : -1;
}

static bool take(struct scan *scan, char wanted) {
  if (peek(scan) != (unsigned char)wanted) return false;
  scan->at++;
  return true;
}

static void space(struct scan *scan) {
  while (take(scan, ' ') || take(scan, '\t') || take(scan, '\n') || take(scan, '\r')) continue;
}

static bool hex4(struct scan *scan, unsigned *code) {
  *code = 0;
  for (int i = 0; i < 4; i++) {
    int c = peek(scan);
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    *code = *code * 16 + (unsigned)digit;
    scan->at++;
  }
  return true;
}

/* Writes a code point as UTF-8; returns false for what a C string or UTF-8 cannot hold. */
static bool utf8_put(struct buffer *out, unsigned code) {
  if (code == 0 || (code >= 0xd800 && code < 0xe000)) return false;
  char b[4];
  size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char lead[] = {0x00, 0x00, 0xc0, 0xe0, 0xf0};
  for (size_t i = n - 1; i > 0; i--, code >>= 6) b[i] = (char)(0x80 | (code & 0x3f));
  b[0] = (char)(lead[n] | code);
  return buffer_add(out, b, n);
}

/* The part of \uXXXX after the 'u', with the second half of a surrogate pair where there is one. */
static bool unicode_escape(struct scan *scan, struct buffer *out, bool *usable) {
  unsigned code, low;
  if (!hex4(scan, &code)) return false;
  if (code >= 0xd800 && code < 0xdc00) {
    struct scan ahead = *scan;
    if (take(&ahead, '\\') && take(&ahead, 'u') && hex4(&ahead, &low) && low >= 0xdc00 && low < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      *scan = ahead;
    }
  }
  if (!utf8_put(out, code)) *usable = false;
  return true;
}

/* Reads a string; `usable` turns false when it is well-formed but has no C spelling. */
static bool string(struct scan *scan, struct buffer *out, bool *usable) {
  static const char names[] = "\"\\/bfnrt";
  static const char meant[] = "\"\\/\b\f\n\r\t";
  if (!take(scan, '"')) return false;
  for (;;) {
    int c = peek(scan);
    if (c < 0x20) return false; /* also the end of the text, -1 */
    scan->at++;
    if (c == '"') return true;
    if (c != '\\') {
      char plain = (char)c;
      if (!buffer_add(out, &plain, 1)) return false;
      continue;
    }
    int escape = peek(scan);
    const char *known = escape > 0 ? strchr(names, escape) : NULL;
    if (escape >= 0) scan->at++;
    if (escape == 'u' ? !unicode_escape(scan, out, usable)
                      : known == NULL || !buffer_add(out, &meant[known - names], 1)) {
      return false;
    }
  }
}

static bool skip_string(struct scan *scan) {
  struct buffer ignored = {.limit = SIZE_MAX / 4};
  bool usable = true;
  bool well = string(scan, &ignored, &usable);
  free(ignored.bytes);
  return well;
}

static bool digits(struct scan *scan) {
  const char *start = scan->at;
  while (peek(scan) >= '0' && peek(scan) <= '9') scan->at++;
  return scan->at > start;
}

static bool number(struct scan *scan) {
  take(scan, '-');
  if (!take(scan, '0') && !digits(scan)) return false;
  if (take(scan, '.') && !digits(scan)) return false;
  if (take(scan, 'e') || take(scan, 'E')) {
    if (!take(scan, '+')) take(scan, '-');
    return digits(scan);
  }
  return true;
}

static bool word(struct scan *scan, const char *wanted) {
  size_t length = strlen(wanted);
  if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, wanted, length) != 0) return false;
  scan->at += length;
  return true;
}

static bool member(struct scan *scan, int depth) {
  space(scan);
  if (!skip_string(scan)) return false;
  space(scan);
  return take(scan, ':') && value(scan, depth);
}

/* An array or object after its opening bracket. */
static bool rest(struct scan *scan, char close, int depth, bool (*item)(struct scan *, int)) {
  space(scan);
  if (take(scan, close)) return true;
  do {
    if (!item(scan, depth)) return false;
    space(scan);
  } while (take(scan, ','));
  return take(scan, close);
}

static bool value(struct scan *scan, int depth) {
  if (depth > DEEPEST) return false;
  space(scan);
  if (take(scan, '{')) return rest(scan, '}', depth + 1, member);
  if (take(scan, '[')) return rest(scan, ']', depth + 1, value);
  if (peek(scan) == '"') return skip_string(scan);
  return word(scan, "true") || word(scan, "false") || word(scan, "null") || number(scan);
}

static bool top_level_member(struct scan *scan, const char *const keys[], char *values[], size_t count) {
  struct buffer key = {.limit = SIZE_MAX / 4}, text = {.limit = SIZE_MAX / 4};
  bool usable = true, well;
  space(scan);
  well = string(scan, &key, &usable) && buffer_add(&key, "", 1);
  space(scan);
  well = well && take(scan, ':');
  space(scan);
  size_t i = 0;
  while (well && usable && i < count && strcmp(key.bytes, keys[i]) != 0) i++;
  free(key.bytes);
  if (!well || !usable || i == count) return well && value(scan, 1);

  free(values[i]);
  values[i] = NULL;
  if (peek(scan) != '"') return value(scan, 1);
  well = string(scan, &text, &usable) && buffer_add(&text, "", 1);
  if (well && usable) values[i] = text.bytes;
  else free(text.bytes);
  return well;
}

bool json_find(const char *text, size_t length, const char *const keys[], char *values[], size_t count) {
  struct scan scan = {.at = text, .end = text + length};
  for (size_t i = 0; i < count; i++) values[i] = NULL;

  space(&scan);
  bool well = take(&scan, '{');
  space(&scan);
  if (well && !take(&scan, '}')) {
    do {
      well = top_level_member(&scan, keys, values, count);
      space(&scan);
    } while (well && take(&scan, ','));
    well = well && take(&scan, '}');
  }
  space(&scan);
  well = well && scan.at == scan.end;

  for (size_t i = 0; i < count && !well; i++) {
    free(values[i]);
    values[i] = NULL;
  }
  return well;
}

/* How many bytes the UTF-8 sequence at `text` has; 0 when it is none (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *text) {
  size_t n = text[0] < 0x80   ? 1
             : text[0] < 0xc2 ? 0
             : text[0] < 0xe0 ? 2
             : text[0] < 0xf0 ? 3
             : text[0] < 0xf5 ? 4
                              : 0;
  for (size_t i = 1; i < n; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  if (text[0] == 0xe0 && text[1] < 0xa0) return 0;
  if (text[0] == 0xed && text[1] > 0x9f) return 0;
  if (text[0] == 0xf0 && text[1] < 0x90) return 0;
  if (text[0] == 0xf4 && text[1] > 0x8f) return 0;
  return n;
}

bool json_quote(struct buffer *buffer, const char *text) {
  bool well = buffer_text(buffer, "\"");
  for (const unsigned char *at = (const unsigned char *)text; well && *at != 0;) {
    size_t n = utf8_length(at);
    char escaped[8];
    if (*at == '"' || *at == '\\') snprintf(escaped, sizeof escaped, "\\%c", *at);
    else if (*at < 0x20) snprintf(escaped, sizeof escaped, "\\u%04x", *at);
    else snprintf(escaped, sizeof escaped, "%.*s", n > 0 ? (int)n : 1, n > 0 ? (const char *)at : "?");
    well = buffer_text(buffer, escaped);
    at += n > 0 ? n : 1;
  }
  return well && buffer_text(buffer, "\"");
}
