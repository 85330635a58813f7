/** Keeps one daemon running: starts it again when it ends, until it is told to stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, type Exit, startOwn } from '../../linux/child.ts';
import type { Log } from '../../model/log.ts';
import type { Daemon } from '../places.ts';
import { pauseBeforeRestart } from './backoff.ts';

export interface Supervised {
  readonly daemon: Daemon;
  /** Ends the daemon for good; settles when its process is gone. */
  stop(): Promise<void>;
}

export interface Supervision {
  readonly daemon: Daemon;
  /** cli/main.ts, which runs the daemon. */
  readonly script: string;
  readonly args: readonly string[];
  onLine(line: string): void;
  /** Called when the daemon says that it cannot work as it is configured: starting it again would not help. */
  onRefusal(exitCode: number): void;
  readonly log: Log;
  /** Whether a test of crashes lets daemons die at chosen points. */
  readonly tested: boolean;
}

/** Daemons end themselves earlier than this (cli/roles/role.ts). */
const PATIENCE_MS = 20_000;
/** Exit codes of wrong use and of refusal by policy (docs/cli.md). */
const HOPELESS = [2, 3];

export function supervise(options: Supervision): Supervised {
  const { daemon, script, args, onLine, onRefusal, log, tested } = options;
  const stopping = new AbortController();
  let child: Child | undefined;

  async function runForEver(): Promise<void> {
    let pauseMs = 0;
    while (!stopping.signal.aborted) {
      const started = Date.now();
      child = startOwn(script, [daemon, ...args], onLine);
      const exit = await child.exited;
      if (stopping.signal.aborted) return;
      if (exit.code !== undefined && HOPELESS.includes(exit.code)) return onRefusal(exit.code);
      // Where a test kills daemons on purpose, each death is the first.
      pauseMs = pauseBeforeRestart(tested ? 0 : pauseMs, Date.now() - started);
      log.warn({ daemon, again: `in ${pauseMs} ms` }, `${daemon} ended ${wordsOf(exit)}`);
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  const ended = runForEver();
  return {
    daemon,
    async stop(): Promise<void> {
      stopping.abort();
      child?.kill('SIGTERM');
      const impatience = setTimeout(() => child?.kill('SIGKILL'), PATIENCE_MS);
      await child?.exited;
      await ended;
      clearTimeout(impatience);
    },
  };
}

function wordsOf({ code, signal }: Exit): string {
  return signal === undefined ? `with exit code ${code}` : `by ${signal}`;
}
