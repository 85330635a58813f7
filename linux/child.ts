/** Long-running child processes of ours: each in a session of its own, and told by its stdin when its parent dies. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readLines } from './ndjson.ts';

export interface Exit {
  /** undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface Child {
  readonly pid: number;
  /** Settles once, when the process is gone; a program that cannot be started counts as one that failed. */
  readonly exited: Promise<Exit>;
  /** One that is gone is no error. */
  kill(signal: NodeJS.Signals): void;
}

/** Longer lines are cut off with the rest of the child's output. */
const LONGEST_LINE = 1 << 20;

/**
 * Starts this very program again, with the Node and the Node flags it runs with itself.
 *
 * The child leads its own session, so that Ctrl-C on the terminal reaches only the parent, which decides the order of
 * the end. Its stdin is a pipe that nobody writes to: its end means that the parent is gone, however it died.
 *
 * @param script  the file to run
 * @param onLine  called for each line of its stdout and stderr
 */
export function startOwn(script: string, args: readonly string[], onLine: (line: string) => void): Child {
  const process_ = spawn(process.execPath, [...process.execArgv, script, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  process_.stdin.on('error', () => {}); // it went before us
  for (const output of [process_.stdout, process_.stderr]) void passLines(output, onLine);
  return {
    pid: process_.pid ?? 0,
    exited: exitOf(process_),
    kill: (signal) => {
      process_.kill(signal);
    },
  };
}

async function passLines(output: AsyncIterable<Buffer>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of readLines(output, LONGEST_LINE)) onLine(line);
  } catch {
    // A broken pipe ends with the process, which is reported elsewhere.
  }
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: undefined }));
    child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
}

/**
 * Runs a program on this process's own terminal and waits for it.
 * @returns its exit code; 1 when a signal ended it.
 */
export async function runAttached(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { code } = await exitOf(spawn(program, args, { stdio: 'inherit', env }));
  return code ?? 1;
}
