/** What every daemon has in common: flags, configuration, a log on stderr, and when to stop. */
import { parseArgs } from 'node:util';
import { type DestinationStream, destination, pino } from 'pino';
import { saveCompileCache } from '../../linux/compile-cache.ts';
import type { Config } from '../../model/config.ts';
import { asSluiceError, exitCodeOf, SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import { loadConfig } from '../config.ts';
import { lockDaemon } from '../daemon-lock.ts';
import { type NodeOptions, nodeOptions } from '../node-options.ts';
import { type Daemon, type Places, placesOf } from '../places.ts';
import { versionOf } from '../version.ts';

export interface Role extends NodeOptions {
  readonly places: Places;
  readonly config: Config;
  readonly version: string;
  readonly log: Log;
  /** Fired when the daemon is to stop. */
  readonly signal: AbortSignal;
}

/** A daemon that cannot let go within this time is ended; what it was doing, its next start finishes or undoes. */
const STOP_WITHIN_MS = 15_000;
/** By then everything a daemon needs has been loaded. */
const STARTED_AFTER_MS = 3_000;

/**
 * Runs a daemon in the foreground until SIGTERM, SIGINT or, when supervised, its supervisor's death.
 * @returns the exit code
 */
export async function runRole(
  daemon: Daemon,
  args: readonly string[],
  run: (role: Role) => Promise<void>,
): Promise<number> {
  // Synchronous: the last words before the end must come out too.
  const output = destination({ dest: 2, sync: true });
  const log = makeLog(daemon, output);
  try {
    const flags = parseFlags(daemon, args);
    const places = placesOf(process.env);
    const config = await loadConfig(places);
    // Held until the process is gone, not only until its work is done.
    lockDaemon(places, daemon);
    log.level = config.log;
    const signal = stopSignal(flags.supervised);
    setTimeout(saveCompileCache, STARTED_AFTER_MS).unref();
    await run({ ...nodeOptions(flags, config), places, config, version: versionOf(), log, signal });
    log.info({}, 'stopped');
    return 0;
  } catch (thrown) {
    const error = asSluiceError(thrown);
    log.error(
      { code: error.code, hint: error.hint, ...(error.code === 'internal' && { err: thrown }) },
      error.message,
    );
    return exitCodeOf(error.code);
  }
}

function makeLog(daemon: Daemon, output: DestinationStream): ReturnType<typeof pino> {
  return pino({ base: { role: daemon }, timestamp: () => `,"time":${Date.now()}` }, output);
}

interface RoleFlags {
  readonly node?: string;
  readonly zone?: string;
  readonly label?: string[];
  readonly uplink?: string;
  readonly listen?: string;
  readonly join?: string;
  readonly storage?: boolean;
  readonly supervised: boolean;
}

function parseFlags(daemon: Daemon, args: readonly string[]): RoleFlags {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      allowNegative: true,
      options: {
        node: text,
        zone: text,
        label: { type: 'string', multiple: true },
        uplink: text,
        listen: text,
        join: text,
        storage: { type: 'boolean' },
        supervised: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    throw wrongFlags(daemon, error);
  }
}

function wrongFlags(daemon: Daemon, cause: unknown): SluiceError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError('invalid_request', message, `sluice ${daemon} --help`, { cause });
}

/** A supervisor's pipe on stdin ends with it, whichever way it died. */
function stopSignal(supervised: boolean): AbortSignal {
  const stop = new AbortController();
  const fire = (): void => {
    if (stop.signal.aborted) return;
    stop.abort();
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, fire);
  if (supervised) {
    process.stdin.on('error', fire).on('end', fire).on('close', fire).resume();
    // The pipe alone keeps nothing running.
    (process.stdin as { unref?(): void }).unref?.();
  }
  return stop.signal;
}
