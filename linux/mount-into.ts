/**
 * Attaches mounts inside other mount namespaces: a program of its own, started for one errand. It walks paths that a
 * tenant may have made, and file systems whose server may hang; whoever started it kills it then, and lives on.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import { attachMount, CLONE_FS, CLONE_NEWNS, cloneMount, setns, unmount, unshare } from './libc.ts';
import { run } from './process.ts';

/** What is to be done in one mount namespace. */
export const MountErrand = z.strictObject({
  /** One of its processes. */
  pid: z.int().positive(),
  /** The namespace's own number: a process number may be another's by now. */
  inode: z.int().positive(),
  /** Mount points whose topmost mount is taken off, in this order. */
  remove: z.array(z.string()),
  /** Mounts of the starter's namespace, copied to a point of the other. */
  attach: z.array(z.strictObject({ from: z.string(), to: z.string() })),
});
export type MountErrand = z.infer<typeof MountErrand>;

const Outcome = z.array(z.string().nullable());
const OURS = path.join(import.meta.dirname, 'mount-into-main.ts');
/** Node starts in 60 ms on an idle machine. */
const STARTS_WITHIN_MS = 5_000;

/**
 * @param errandMs  how long one errand may take
 * @returns by inode, why an errand failed
 */
export async function mountInto(
  errands: readonly MountErrand[],
  errandMs: number,
): Promise<ReadonlyMap<number, string>> {
  if (errands.length === 0) return new Map();
  try {
    const limitMs = STARTS_WITHIN_MS + errandMs * errands.length;
    const reasons = Outcome.parse(JSON.parse(await startErrands(errands, limitMs)));
    return new Map(
      errands.flatMap(({ inode }, index) => {
        const why = reasons[index] ?? null;
        return why === null ? [] : [[inode, why] as const];
      }),
    );
  } catch (error) {
    const [only] = errands;
    if (errands.length === 1 && only !== undefined)
      return new Map([[only.inode, asSluiceError(error).message]]);
    // Somebody held it up: each by itself, so that he harms only himself.
    const failed = new Map<number, string>();
    for (const errand of errands)
      for (const [inode, why] of await mountInto([errand], errandMs)) failed.set(inode, why);
    return failed;
  }
}

async function startErrands(errands: readonly MountErrand[], timeoutMs: number): Promise<string> {
  const argv = [process.execPath, ...process.execArgv, OURS] as const;
  const { code, stdout, stderr } = await run(argv, { stdin: JSON.stringify(errands), timeoutMs });
  if (code === 0) return stdout;
  throw new SluiceError(
    'program_failed',
    `mounting into containers failed: ${stderr.slice(-500)}`,
    'see the log',
  );
}

/** What the program does. @returns for each errand why it failed, or null */
export function doErrands(errands: readonly MountErrand[]): (string | null)[] {
  // A thread that shares its root directory with others may not change its mount namespace (setns(2)).
  unshare(CLONE_FS);
  const home = openSync('/proc/thread-self/ns/mnt', 'r');
  return errands.map((errand) => {
    try {
      doErrand(errand, home);
      return null;
    } catch (error) {
      return asSluiceError(error).message;
    }
  });
}

function doErrand({ pid, inode, remove, attach }: MountErrand, home: number): void {
  const there = openSync(`/proc/${pid}/ns/mnt`, 'r');
  const copies: { tree: number; to: string }[] = [];
  try {
    if (fstatSync(there).ino !== inode) throw gone(pid);
    // Copies are made of mounts in our own namespace, and attached in the other.
    for (const { from, to } of attach) copies.push({ tree: cloneMount(from), to });
    setns(there, CLONE_NEWNS);
    try {
      for (const point of remove) unmount(point, MNT_DETACH | UMOUNT_NOFOLLOW);
      for (const { tree, to } of copies) attachMount(tree, to);
    } finally {
      setns(home, CLONE_NEWNS);
    }
  } finally {
    closeSync(there);
    for (const { tree } of copies) closeSync(tree);
  }
}

/** sys/mount.h */
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

function gone(pid: number): SluiceError {
  return new SluiceError('not_found', `process ${pid} is gone`, 'its container has ended');
}

/** What the starter has written. */
export function readErrands(): MountErrand[] {
  return z.array(MountErrand).parse(JSON.parse(readFileSync(0, 'utf8')));
}
