/** Asks a node's daemons on their sockets: a program that asks for us would take time from those that are starting. */
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { localClient, type Method } from '../linux/api-client.ts';
import { isThere } from '../linux/directories.ts';
import { readTextIfThere } from '../linux/files.ts';
import { asSluiceError } from '../model/errors.ts';

const POLL_MS = 25;
/** A daemon that is busy answers within this time, or it is in trouble. */
const ANSWER_WITHIN_MS = 3_000;

/** Of what `sluice up` writes down about itself: who it is and what it runs. */
const UpRecord = z.object({ pid: z.int(), daemons: z.array(z.string()) });
const Status = z.object({ ready: z.boolean() });

/** One request to a daemon of the node with that run directory. @throws SluiceError */
export async function askDaemon(
  runDir: string,
  daemon: string,
  method: Method,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const client = localClient(`${runDir}/${daemon}.sock`, { timeoutMs: ANSWER_WITHIN_MS });
  try {
    return await client.request(method, path, body);
  } finally {
    client.close();
  }
}

/** Waits until a daemon answers. @throws SluiceError why it does not; the signal's reason when that fired */
export async function untilAnswers(
  runDir: string,
  daemon: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (const deadline = performance.now() + withinMs; ; await sleep(POLL_MS, undefined, { signal })) {
    signal.throwIfAborted();
    try {
      await askDaemon(runDir, daemon, 'GET', '/v1/status');
      return;
    } catch (thrown) {
      if (asSluiceError(thrown).code !== 'unreachable' || performance.now() > deadline) throw thrown;
    }
  }
}

/**
 * Waits until everything that `sluice up` runs can do its work, as `sluice status` tells it.
 * @param up  its process; undefined: whichever was the last
 * @returns false when the time is over, or the signal has fired, and it is not so
 */
export async function untilReady(
  runDir: string,
  {
    up,
    withinMs,
    signal,
  }: { readonly up?: number; readonly withinMs: number; readonly signal?: AbortSignal },
): Promise<boolean> {
  for (const deadline = performance.now() + withinMs; ; await sleep(POLL_MS)) {
    if (signal?.aborted === true) return false;
    if (await areReady(runDir, up)) return true;
    if (performance.now() > deadline) return false;
  }
}

async function areReady(runDir: string, up: number | undefined): Promise<boolean> {
  const text = readTextIfThere(`${runDir}/up.json`);
  const record = text === undefined ? undefined : UpRecord.safeParse(JSON.parse(text)).data;
  if (record === undefined || (up !== undefined && record.pid !== up)) return false;
  // One after the other: as long as one is not ready, nothing more need be asked.
  for (const daemon of record.daemons) if (!(await isReady(runDir, daemon))) return false;
  return true;
}

async function isReady(runDir: string, daemon: string): Promise<boolean> {
  if (!isThere(`${runDir}/${daemon}.sock`)) return false;
  try {
    return Status.parse(await askDaemon(runDir, daemon, 'GET', '/v1/status')).ready;
  } catch {
    return false;
  }
}
