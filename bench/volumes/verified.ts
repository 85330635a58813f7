/** A verifying writer on a mounted volume while something happens: how long its longest record took, and that none is lost. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, runOk } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { checksumOf, RECORD_BYTES, WRITER, type Written } from '../../test/support/verifying-writer.ts';

/** Between records. */
const PACE_MS = 5;
const WRITER_MS = 120_000;
const POLL_MS = 20;
const GETS_ON_MS = 30_000;
/** It is at work when so many have come through. */
const SOME = 20;

export interface Witness {
  /** Where the same volume is mounted elsewhere: what was acknowledged is read from there, too. */
  readonly elsewhere: string;
  readonly signal: AbortSignal;
}

/**
 * Writes to a new file, each record synced before the next, until what happens is over and the writer has got on after it.
 * What it was told is there is looked for when `mended` is over: everybody must be able to read it then.
 * @throws SluiceError `check_failed` when something acknowledged is not there, or the writer does not get on
 */
export async function writtenWhile(
  root: string,
  name: string,
  { elsewhere, signal }: Witness,
  happening: () => Promise<void>,
  mended: () => Promise<void>,
): Promise<Written> {
  const directory = mkdtempSync('/tmp/sluice-bench-');
  const stop = `${directory}/stop`;
  const writer = run([process.execPath, '-e', WRITER, `${root}/${name}`, String(PACE_MS), stop], {
    timeoutMs: WRITER_MS,
  });
  // Its failure is told when it is waited for.
  writer.catch(() => undefined);
  try {
    await getsOn(stop, signal);
    await happening();
    await getsOn(stop, signal);
    writeFileSync(stop, '');
    const { stdout, stderr } = await writer;
    if (stdout === '') throw failed(`the writer has failed: ${stderr.slice(-500)}`);
    const written = JSON.parse(stdout) as Written;
    await mended();
    for (const one of [root, elsewhere]) await requireAll(`${one}/${name}`, written);
    return written;
  } finally {
    writeFileSync(stop, '');
    await writer.catch(() => undefined);
    rmSync(directory, { recursive: true });
  }
}

async function getsOn(stop: string, signal: AbortSignal): Promise<void> {
  const count = (): number =>
    existsSync(`${stop}.count`) ? Number(readFileSync(`${stop}.count`, 'utf8')) : 0;
  const wanted = count() + SOME;
  for (const deadline = performance.now() + GETS_ON_MS; count() < wanted; await sleep(POLL_MS)) {
    signal.throwIfAborted();
    if (performance.now() > deadline) throw failed('the writer does not get on');
  }
}

async function requireAll(file: string, { acknowledged }: Written): Promise<void> {
  const bytes = String(acknowledged * RECORD_BYTES);
  const printed = await runOk(['sh', '-euc', 'head -c "$2" "$1" | sha256sum', 'sh', file, bytes]);
  if (printed.split(' ')[0] !== checksumOf(acknowledged))
    throw failed(`acknowledged records of ${file} are lost`);
}

function failed(what: string): SluiceError {
  return new SluiceError('check_failed', what, 'see the logs of the nodes');
}
