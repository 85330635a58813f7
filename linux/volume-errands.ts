/**
 * Mounts of shared volumes, attached and taken off in our own mount namespace and in those of containers: by a program
 * of its own, started for the errand. It walks paths that tenants may have made, and asks file systems whose server may
 * hang; whoever started it kills it then, and lives on.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import * as z from 'zod';
import { type ErrorCode, SluiceError } from '../model/errors.ts';

/** A Gluster client, with its file system mounted in a mount namespace of its own. */
const Client = z.strictObject({
  pid: z.int().positive(),
  /** The namespace's own number: a process number may be another's by now. */
  inode: z.int().positive(),
  /** Where its file system is mounted there. */
  root: z.string(),
});

/** A mount namespace other than ours. */
const There = z.strictObject({ pid: z.int().positive(), inode: z.int().positive() });

/** Which part of the client's file system. */
const Part = z.strictObject({ directory: z.string().nullable(), make: z.boolean(), readOnly: z.boolean() });

export const VolumeErrand = z.discriminatedUnion('do', [
  /** Proves that the file system answers; if it does not, nothing that follows is done. */
  z.strictObject({
    do: z.literal('ask'),
    /** An attribute that it must have, too; null: none. */
    attribute: z.string().nullable(),
  }),
  /** Attaches it in our own mount namespace, over whatever is mounted there. */
  z.strictObject({ do: z.literal('place'), part: Part, point: z.string() }),
  /** Attaches it in another one. */
  z.strictObject({
    do: z.literal('attach'),
    part: Part,
    there: There,
    directory: z.string(),
    /** With the directory, where it is missing. */
    make: z.boolean(),
    /** Only over a mount of this device; null: over none that is ours. */
    over: z.string().nullable(),
    source: z.string(),
  }),
  /** Takes every mount of that source off the directory. */
  z.strictObject({
    do: z.literal('remove'),
    there: There,
    directory: z.string(),
    source: z.string(),
    /** So many of the path's last components go, too, if they are empty. */
    removeDirectories: z.int().min(0),
  }),
]);
export type VolumeErrand = z.infer<typeof VolumeErrand>;
export type VolumePart = z.infer<typeof Part>;
export type Errand<T extends VolumeErrand['do']> = Extract<VolumeErrand, { readonly do: T }>;

/** What the program reads. */
export const ErrandBatch = z.strictObject({ client: Client.nullable(), errands: z.array(VolumeErrand) });
export type ErrandBatch = z.infer<typeof ErrandBatch>;
export type ErrandClient = z.infer<typeof Client>;
export type ErrandPlace = z.infer<typeof There>;

const Done = z.strictObject({ made: z.int() });
const Failure = z.strictObject({ code: z.string(), message: z.string(), hint: z.string() });
/** What the program writes, a line for each errand as soon as it is over. */
const ErrandOutcome = z.union([Done, Failure]);
export type ErrandOutcome = z.infer<typeof ErrandOutcome>;

/** How an errand ended: how many directories it has made, or why it failed. */
export type ErrandResult = { readonly made: number } | SluiceError;

const OURS = path.join(import.meta.dirname, 'volume-errands-main.ts');
/** Node starts in 60 ms on an idle machine, and in more than a second on a busy one. */
const STARTS_WITHIN_MS = 5_000;
/** Of what it says on standard error, in characters. */
const LAST_WORDS = 500;

/** The program, started and waiting for what it is to do. */
export interface ErrandRunner {
  /**
   * Does all of them, in order, also after one has failed. Once.
   * @param client   whose file system is attached; null where it is only taken off
   * @param eachMs   how long one may take; then the program is killed, and those that are left have failed
   * @returns for each errand
   */
  run(
    client: ErrandClient | null,
    errands: readonly VolumeErrand[],
    eachMs: number,
  ): Promise<readonly ErrandResult[]>;
  /** Ends it, if it was not needed. */
  release(): void;
}

/** Whoever knows that there will be errands starts it early: Node takes longer than what is to be done. */
export function startVolumeErrands(): ErrandRunner {
  const argv = [...process.execArgv, OURS, String(process.pid)];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined); // it may be dead by now; then it says nothing either
  let said = '';
  let isUsed = false;
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-LAST_WORDS);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', ({ message }) => {
      said = message;
      resolve();
    });
  });
  return {
    async run(client, errands, eachMs): Promise<readonly ErrandResult[]> {
      isUsed = true;
      const batch: ErrandBatch = { client, errands: [...errands] };
      child.stdin.end(JSON.stringify(batch));
      const results = await resultsOf(child, errands.length, eachMs, ended);
      const left = failed(child.killed ? `an errand took longer than ${eachMs} ms` : said.trim());
      return errands.map((_, index) => results[index] ?? left);
    },
    release(): void {
      if (!isUsed) child.kill('SIGKILL');
    },
  };
}

/** All of them, or as many as there were when it ended, or stood still for too long. */
async function resultsOf(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  count: number,
  eachMs: number,
  ended: Promise<void>,
): Promise<ErrandResult[]> {
  const kill = (): void => void child.kill('SIGKILL');
  let timer = setTimeout(kill, STARTS_WITHIN_MS + eachMs);
  let lines: string[] = [];
  const done = new Promise<void>((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      lines = text.split('\n').slice(0, -1);
      clearTimeout(timer);
      timer = setTimeout(kill, eachMs);
      if (lines.length === count) resolve();
    });
  });
  await Promise.race([done, ended]);
  void ended.then(() => clearTimeout(timer));
  return lines.map(resultOf);
}

function resultOf(line: string): ErrandResult {
  const told = ErrandOutcome.parse(JSON.parse(line));
  return 'made' in told ? told : new SluiceError(told.code as ErrorCode, told.message, told.hint);
}

function failed(why: string): SluiceError {
  return new SluiceError('storage_failed', `mounting a volume failed: ${why}`, "see storaged's log");
}

/** Starts the program and does them all. */
export async function runVolumeErrands(
  ...[client, errands, eachMs]: Parameters<ErrandRunner['run']>
): Promise<readonly ErrandResult[]> {
  return errands.length === 0 ? [] : startVolumeErrands().run(client, errands, eachMs);
}
