/** Ctrl-C ends a command that follows something: that is its ordinary end. */

/** @returns a signal that fires at SIGINT or SIGTERM, and when whoever reads the output has gone. */
export function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  process.stdout.once('error', () => stop.abort());
  return stop.signal;
}
