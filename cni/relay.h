/* What the parts of the CNI relay share: bounded buffers, bounded waiting, JSON, HTTP. */
#ifndef SLUICE_RELAY_H
#define SLUICE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* io.c ------------------------------------------------------------------------------- */

/* A byte string that grows up to a limit. Zero-initialise it but for the limit. */
struct buffer {
  char *bytes;
  size_t length;
  size_t capacity;
  size_t limit;
};

enum io { IO_DONE, IO_TIMEOUT, IO_TOO_LARGE, IO_FAILED /* errno says why */ };

/* Appends; false when the limit or the memory is exhausted. */
bool buffer_add(struct buffer *buffer, const void *bytes, size_t length);
bool buffer_text(struct buffer *buffer, const char *text);

/* Milliseconds on the clock that nobody can set back. */
int64_t now_ms(void);

/* Waits until the descriptor is ready for some of `*events` (poll.h), and leaves those there. */
enum io wait_for(int fd, short *events, int64_t deadline);
/* Reads once what is there; `*end` tells the end of the stream. */
enum io read_some(int fd, struct buffer *into, int64_t deadline, bool *end);
enum io read_all(int fd, struct buffer *into, int64_t deadline);
enum io write_all(int fd, const char *bytes, size_t length, int64_t deadline);
/* The same on a non-blocking socket, but done, too, when the peer answers instead of reading on. */
enum io send_all(int fd, const char *bytes, size_t length, int64_t deadline);

/* json.c ----------------------------------------------------------------------------- */

/*
 * Finds the string values of some top-level keys of a JSON object (RFC 8259; of a key that
 * stands twice the last counts, as in JSON.parse). values[i] is allocated, or NULL where the
 * key is missing, not a string, or holds what a C string cannot.
 * Returns false, with every value NULL, when the text is not one well-formed object.
 */
bool json_find(const char *text, size_t length, const char *const keys[], char *values[], size_t count);

/* Appends the text as a JSON string; what is not UTF-8 becomes '?'. */
bool json_quote(struct buffer *buffer, const char *text);

/* http.c ----------------------------------------------------------------------------- */

struct header {
  const char *name;
  const char *value;
};

/* Builds one request whose header values are percent-encoded. */
bool http_request(struct buffer *request, const char *path, const struct header *headers, size_t count,
                  const struct buffer *body);

enum http { HTTP_MORE, HTTP_DONE, HTTP_BROKEN };

/*
 * Parses what has arrived of a response: HTTP_MORE while it is not whole. An answer tells its own
 * length (Content-Length or chunked), because otherwise a cut one would look whole; one that does
 * not is HTTP_BROKEN. `*status` is 0 until the status line is known.
 */
enum http http_parse(const struct buffer *response, int *status, struct buffer *body);

#endif
