/**
 * A virtual machine with Debian's stock kernel and cgroup v2, whose programs and files are this machine's, read-only:
 * for proofs about kernels that this machine does not have.
 */

import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isThere, makeScratchDirectory } from '../../linux/directories.ts';
import { makeSparseFile, readTextIfThere } from '../../linux/files.ts';
import {
  type Argv,
  type Daemon,
  endsWithin,
  isAlive,
  type Outcome,
  startDaemon,
} from '../../linux/process.ts';
import { removeTree } from '../../linux/tree.ts';
import { SluiceError } from '../../model/errors.ts';
import { thisCheckout } from '../checkout.ts';
import { converse, type OnLine } from './conversation.ts';
import { CHANNELS, qemuCommand } from './hardware.ts';

export interface GuestOptions {
  /** Default 2. */
  readonly cpus?: number;
  /** Default 1024, of which the machine gives what is used. */
  readonly memoryMiB?: number;
  /** Of /dev/vda, which is mounted on /var/tmp and empty; default 1024. */
  readonly diskMiB?: number;
}

export interface CommandOptions {
  /** Then the guest is switched off; default 60 s. */
  readonly timeoutMs?: number;
  readonly onLine?: OnLine;
}

export interface Guest extends AsyncDisposable {
  /**
   * Runs a program to its end, as root, in the checkout; commands wait for each other. What a program leaves in the
   * background goes on.
   * @throws SluiceError `program_failed` with the end of the guest's console when it takes too long or the guest ends
   */
  run(argv: Argv, options?: CommandOptions): Promise<Outcome>;
  /** Switches off. May be repeated. */
  stop(): Promise<void>;
}

const BOOT_MS = 60_000;
const COMMAND_MS = 60_000;
const END_MS = 2_000;
const POLL_MS = 10;
/** Characters of the console that are kept. */
const CONSOLE_TAIL = 4_096;

/**
 * Boots a guest, which takes about four seconds.
 * @throws SluiceError `not_found` when set-up has not prepared it; `program_failed` when it does not come up in a minute
 */
export async function bootGuest(options: GuestOptions = {}): Promise<Guest> {
  const { root: checkout } = thisCheckout();
  const prepared = `${checkout}/build/vm`;
  if (!isThere(`${prepared}/made-of`)) {
    throw new SluiceError(
      'not_found',
      `there is no second kernel in ${prepared}`,
      'run scripts/setup.sh as root',
    );
  }
  const scratch = makeScratchDirectory('sluice-vm');
  let server: Daemon | undefined;
  let qemu: Daemon | undefined;
  const stop = async (): Promise<void> => {
    await qemu?.stop();
    // It has a child, which ends with it only when it is left to end by itself.
    if (qemu !== undefined && server !== undefined) await endsWithin(server.id, END_MS);
    await server?.stop();
    removeTree(scratch);
  };
  try {
    server = await serveRoot(checkout, scratch);
    makeSparseFile(`${scratch}/disk`, (options.diskMiB ?? 1024) * 2 ** 20);
    const command = qemuCommand({
      kernel: `${prepared}/kernel`,
      initramfs: `${prepared}/initramfs`,
      rootSocket: `${scratch}/root.sock`,
      disk: `${scratch}/disk`,
      cpus: options.cpus ?? 2,
      memoryMiB: options.memoryMiB ?? 1024,
    });
    qemu = await startDaemon(command, { channels: CHANNELS.length, logFile: `${scratch}/log` });
    const guest = await guestOver(qemu, stop);
    removeTree(scratch); // all of it is open: nothing is left, however this process ends
    return guest;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The daemon ends when it has lost the guest, and both end with the thread that started them. */
async function serveRoot(checkout: string, scratch: string): Promise<Daemon> {
  const logFile = `${scratch}/log`;
  const daemon = await startDaemon(
    [
      ...([
        'setpriv',
        '--pdeathsig',
        'KILL',
        '--',
        'unshare',
        '--mount',
        '--propagation',
        'private',
        '--',
      ] as const),
      ...['sh', `${checkout}/lab/vm/share.sh`, checkout, scratch],
    ],
    { logFile },
  );
  const deadline = performance.now() + BOOT_MS;
  while (!isThere(`${scratch}/root.sock`)) {
    if (!isAlive(daemon.id) || performance.now() > deadline) {
      await daemon.stop();
      throw failed('the root of the guest cannot be served', readTextIfThere(logFile));
    }
    await sleep(POLL_MS);
  }
  return daemon;
}

async function guestOver(qemu: Daemon, stop: () => Promise<void>): Promise<Guest> {
  const [console, commands, stdout, stderr] = qemu.channels;
  if (!console || !commands || !stdout || !stderr) throw new RangeError('QEMU is started with four channels');
  const tail = keepTail(console);
  const conversation = converse({ commands, stdout, stderr });

  /** Whatever goes wrong, the guest cannot be used any more. */
  const within = async <T>(ms: number, what: string, work: Promise<T>): Promise<T> => {
    const settled = new AbortController();
    const tooLate = sleep(ms, undefined, { signal: settled.signal }).then(() => {
      throw failed(`${what} takes longer than ${ms} ms`, tail());
    });
    try {
      return await Promise.race([work, tooLate]);
    } catch (error) {
      await stop();
      throw error instanceof SluiceError && error.code === 'unreachable' ? failed(what, tail()) : error;
    } finally {
      settled.abort();
    }
  };

  await within(BOOT_MS, 'booting the guest', conversation.ready());
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(argv, { timeoutMs = COMMAND_MS, onLine } = {}): Promise<Outcome> {
      const outcome = last.then(() =>
        within(timeoutMs, `'${argv.join(' ')}'`, conversation.run(argv, onLine)),
      );
      last = outcome.catch(() => undefined);
      return outcome;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** @returns asks for the last of what was printed */
function keepTail(console: Duplex): () => string {
  let text = '';
  console.on('error', () => undefined);
  console.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-CONSOLE_TAIL);
  });
  return () => text;
}

function failed(what: string, console: string | undefined): SluiceError {
  return new SluiceError(
    'program_failed',
    `in the second kernel: ${what}\n${console?.trim() ?? ''}`,
    'its console is above: the guest has been switched off',
  );
}
