/* The little HTTP/1.1 the relay needs: one request, one response (RFC 9112). */
#define _GNU_SOURCE
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stays as it is: RFC 3986 'unreserved', and ':', which needs no encoding in a header. */
static bool plain(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != 0 && strchr("-._~:", c) != NULL);
}

static bool add_encoded(struct buffer *buffer, const char *text) {
  for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++) {
    char encoded[4];
    snprintf(encoded, sizeof encoded, plain(*at) ? "%c" : "%%%02X", *at);
    if (!buffer_text(buffer, encoded)) return false;
  }
  return true;
}

bool http_request(struct buffer *request, const char *path, const struct header *headers, size_t count,
                  const struct buffer *body) {
  char length[64];
  snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", body->length);
  bool well = buffer_text(request, "POST ") && buffer_text(request, path) &&
              buffer_text(request, " HTTP/1.1\r\nHost: netd\r\nConnection: close\r\n"
                                   "Content-Type: application/json\r\n");
  for (size_t i = 0; well && i < count; i++) {
    well = buffer_text(request, headers[i].name) && buffer_text(request, ": ") &&
           add_encoded(request, headers[i].value) && buffer_text(request, "\r\n");
  }
  return well && buffer_text(request, length) && buffer_add(request, body->bytes, body->length);
}

/* An unsigned number at the start of a line; -1 when there is none or it is absurd. */
static long size_at(const char *at, const char *end, int base) {
  char digits[16] = {0};
  size_t length = (size_t)(end - at) < sizeof digits - 1 ? (size_t)(end - at) : sizeof digits - 1;
  memcpy(digits, at, length);
  char *stop;
  long size = strtol(digits, &stop, base);
  return stop == digits || digits[0] == '-' || digits[0] == '+' ? -1 : size;
}

static enum http chunked(const char *at, const char *end, struct buffer *body) {
  for (;;) {
    const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
    if (line == NULL) return HTTP_MORE;
    long size = size_at(at, line, 16);
    if (size < 0) return HTTP_BROKEN;
    at = line + 2;
    if (end - at < size + 2) return HTTP_MORE; /* of the last chunk: the empty line, no trailers */
    if (memcmp(at + size, "\r\n", 2) != 0) return HTTP_BROKEN;
    if (size == 0) return HTTP_DONE;
    if (!buffer_add(body, at, (size_t)size)) return HTTP_BROKEN;
    at += size + 2;
  }
}

/* The value of a header field, without the white space before it; NULL when it is not there. */
static const char *field(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *line = head; (line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL;) {
    line += 2;
    if ((size_t)(end - line) <= length || line[length] != ':') continue;
    if (strncasecmp(line, name, length) != 0) continue;
    for (line += length + 1; line < end && (*line == ' ' || *line == '\t');) line++;
    return line;
  }
  return NULL;
}

enum http http_parse(const struct buffer *response, int *status, struct buffer *body) {
  const char *head = response->bytes, *end = head + response->length;
  *status = 0;
  body->length = 0;
  const char *blank = response->length > 0 ? memmem(head, response->length, "\r\n\r\n", 4) : NULL;
  if (blank == NULL) return HTTP_MORE;
  const char *rest = blank + 4, *head_end = blank + 2;
  if (head_end - head <= 12 || memcmp(head, "HTTP/1.", 7) != 0) return HTTP_BROKEN;
  long code = size_at(head + 9, head + 12, 10);
  if (code < 100) return HTTP_BROKEN;
  *status = (int)code;

  const char *coding = field(head, head_end, "transfer-encoding");
  if (coding != NULL) return strncasecmp(coding, "chunked", 7) == 0 ? chunked(rest, end, body) : HTTP_BROKEN;
  const char *length = field(head, head_end, "content-length");
  long size = length == NULL ? -1 : size_at(length, head_end, 10);
  if (size < 0) return HTTP_BROKEN;
  if (end - rest < size) return HTTP_MORE;
  return buffer_add(body, rest, (size_t)size) ? HTTP_DONE : HTTP_BROKEN;
}
