/** A verifying writer on a mounted volume while something happens: how long its longest record took, and that none is lost. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { checksumOf, RECORD_BYTES, WRITER, type Written } from '../../test/support/verifying-writer.ts';

/** Between records. */
const PACE_MS = 5;
const WRITER_MS = 120_000;
const POLL_MS = 20;
const GETS_ON_MS = 30_000;
const READ_WITHIN_MS = 20_000;
/** FILE, bytes, where to. */
const READ = 'head -c "$2" "$1" >"$3"; sha256sum <"$3"';
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
    for (const one of [root, elsewhere]) await requireAll(`${one}/${name}`, written, `${directory}/copy`);
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

/** A client that was cut off finds its bricks again within seconds; until then it has nothing to show. */
async function requireAll(file: string, { acknowledged }: Written, copy: string): Promise<void> {
  const argv = ['sh', '-euc', READ, 'sh', file, String(acknowledged * RECORD_BYTES), copy] as const;
  for (const deadline = performance.now() + READ_WITHIN_MS; ; await sleep(POLL_MS)) {
    const { stdout, stderr } = await run(argv);
    if (stdout.split(' ')[0] === checksumOf(acknowledged)) return;
    if (performance.now() > deadline)
      throw failed(`not all that was acknowledged of ${file} is there ${stderr}`);
  }
}

function failed(what: string): SluiceError {
  return new SluiceError('check_failed', what, 'see the logs of the nodes');
}
