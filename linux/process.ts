/** Runs programs: by argument list, never through a shell; bounded in time and in what they may print. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';

/** The program and its arguments. */
export type Argv = readonly [program: string, ...args: string[]];

export interface RunOptions {
  /** Replaces the whole environment; default: this process's own. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** What the program reads; default: nothing. */
  readonly stdin?: string | Uint8Array;
  /** Then it is killed; default 30 s. */
  readonly timeoutMs?: number;
  /** How much it may print on each stream before it is killed; default 16 MiB. */
  readonly limitBytes?: number;
  /** Kills it. */
  readonly signal?: AbortSignal;
}

export interface Outcome {
  /** 128 + the signal's number for a program that a signal ended, as shells have it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS = 30_000;
const LIMIT_BYTES = 16 * 2 ** 20;
const SIGNAL_BASE = 128;

/**
 * Runs a program to its end; it may fail.
 * @throws SluiceError `program_failed` when it cannot be started, takes too long or prints too much; the
 *   signal's reason when that fired
 */
export async function run(argv: Argv, options: RunOptions = {}): Promise<Outcome> {
  const [program, ...args] = argv;
  options.signal?.throwIfAborted();
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.env && { env: options.env }),
    ...(options.cwd && { cwd: options.cwd }),
  });
  const stop = new AbortController();
  stop.signal.addEventListener('abort', () => child.kill('SIGKILL'));
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const timer = setTimeout(() => stop.abort(failure(argv, `did not end within ${timeoutMs} ms`)), timeoutMs);
  const cancel = (): void => stop.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', cancel, { once: true });
  const tooMuch = (): void => stop.abort(failure(argv, 'printed too much'));
  const limit = options.limitBytes ?? LIMIT_BYTES;
  try {
    child.stdin.on('error', () => undefined); // a program need not read what it is given
    child.stdin.end(options.stdin);
    const [stdout, stderr, code] = await Promise.all([
      collect(child.stdout, limit, tooMuch),
      collect(child.stderr, limit, tooMuch),
      exitOf(argv, child),
    ]);
    if (stop.signal.aborted) throw stop.signal.reason;
    return { code, stdout, stderr };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', cancel);
  }
}

/**
 * Runs a program that must succeed.
 * @returns what it printed
 * @throws SluiceError `program_failed` with what it said on standard error
 */
export async function runOk(argv: Argv, options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code === 0) return stdout;
  throw failure(argv, `exited with ${code}: ${(stderr.trim() || stdout.trim()).slice(-2_000)}`);
}

async function collect(stream: Readable, limit: number, tooMuch: () => void): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limit) tooMuch();
    else chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function exitOf(argv: Argv, child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(failure(argv, `cannot be started: ${cause.message}`, cause)));
    child.once('exit', (code, signal) => resolve(code ?? SIGNAL_BASE + signalNumber(signal)));
  });
}

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 } as const;

function signalNumber(signal: NodeJS.Signals | null): number {
  return SIGNALS[signal as keyof typeof SIGNALS] ?? 0;
}

function failure([program, ...args]: Argv, what: string, cause?: unknown): SluiceError {
  const command = [program, ...args].join(' ').slice(0, 500);
  return new SluiceError('program_failed', `'${command}' ${what}`, 'run it by hand to see more', { cause });
}

/** A process by number and start time: numbers are given again, pairs are not. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot (proc_pid_stat(5), field 22). */
  readonly startedAt: number;
}

/** @returns undefined when there is no such process, or when it has ended and only its parent still has to see it. */
export function identify(pid: number): ProcessId | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field, the program's name, may hold spaces and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : { pid, startedAt: Number(fields[19]) };
}

export function isAlive({ pid, startedAt }: ProcessId): boolean {
  return identify(pid)?.startedAt === startedAt;
}

/**
 * Processes whose network namespace is this one, without the calling process.
 * @param netns  path of the namespace
 */
export function processesInNetns(netns: string): ProcessId[] {
  const wanted = inodeOf(netns);
  if (wanted === undefined) return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && inodeOf(`/proc/${pid}/ns/net`) === wanted)
    .flatMap((pid) => identify(pid) ?? []);
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

const GRACE_MS = 5_000;
const POLL_MS = 10;

/**
 * Ends a process: SIGTERM, after the grace SIGKILL. One that is gone already is no error.
 * @throws SluiceError `program_failed` when it outlives even that
 */
export async function stopProcess(process_: ProcessId, graceMs: number = GRACE_MS): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!kill(process_, signal)) return;
    if (await endsWithin(process_, graceMs)) return;
  }
  throw new SluiceError(
    'program_failed',
    `process ${process_.pid} does not end`,
    'it hangs in the kernel: see dmesg',
  );
}

function kill(id: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    return process.kill(id.pid, signal);
  } catch {
    return false;
  }
}

/** Waits for a process that ends by itself. @returns false when it has not */
export async function endsWithin(id: ProcessId, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (!isAlive(id)) return true;
    await sleep(POLL_MS);
  }
  return !isAlive(id);
}

export interface DaemonOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Where its output goes, appended; default: nowhere. */
  readonly logFile?: string;
  /** Connections to talk with it: connected sockets, which it finds open as 3, 4, … Default: none. */
  readonly channels?: number;
}

/** After standard input, output and error. */
const FIRST_CHANNEL = 3;

/** A program that runs beside this one. */
export interface Daemon {
  readonly id: ProcessId;
  /** Fulfilled with the exit code once it has ended. */
  readonly exited: Promise<number>;
  /** Our ends. They close with the program. */
  readonly channels: readonly Duplex[];
  /** SIGTERM, after the grace (default 5 s) SIGKILL. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts a program in a session of its own, so that Ctrl-C on the terminal reaches only us and we end it in order.
 * @throws SluiceError `program_failed` when it cannot be started
 */
export async function startDaemon(argv: Argv, options: DaemonOptions = {}): Promise<Daemon> {
  const [program, ...args] = argv;
  const output = options.logFile === undefined ? 'ignore' : openSync(options.logFile, 'a', 0o600);
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', output, output, ...Array<'pipe'>(options.channels ?? 0).fill('pipe')],
    ...(options.env && { env: options.env }),
    ...(options.cwd && { cwd: options.cwd }),
  });
  if (typeof output === 'number') closeSync(output);
  const exited = exitOf(argv, child);
  exited.catch(() => undefined); // whoever waits for it hears; nobody must
  await Promise.race([once(child, 'spawn'), exited]);
  child.unref();
  const id = identify(child.pid ?? 0) ?? { pid: child.pid ?? 0, startedAt: 0 };
  const channels = child.stdio.slice(FIRST_CHANNEL) as unknown as Duplex[]; // Node makes them sockets
  return { id, exited, channels, stop: (graceMs) => stopProcess(id, graceMs) };
}
