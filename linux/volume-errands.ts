/**
 * Mounts of shared volumes, attached and taken off in our own mount namespace and in those of containers: by a program
 * of its own, started for the errand. It walks paths that tenants may have made, and asks file systems whose server may
 * hang; whoever started it kills it then, and lives on.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, statfsSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { asSluiceError, type ErrorCode, SluiceError } from '../model/errors.ts';
import { CLONE_FS, CLONE_NEWNS, setns, unshare } from './libc.ts';
import {
  attachTree,
  copyTree,
  detachMount,
  mountIdOf,
  O_PATH,
  openDirectoryIn,
  readBelow,
  removeDirectoriesIn,
} from './mount-fds.ts';
import { type Mount, parseMounts } from './mount-table.ts';
import { run } from './process.ts';
import { readXattr } from './xattr.ts';

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

const Batch = z.strictObject({ client: Client.nullable(), errands: z.array(VolumeErrand) });
type Batch = z.infer<typeof Batch>;
export type ErrandClient = z.infer<typeof Client>;

const Failure = z.strictObject({ code: z.string(), message: z.string(), hint: z.string() });
const Done = z.strictObject({ made: z.int() });
const Outcome = z.array(z.union([Done, Failure]));

/** How an errand ended: how many directories it has made, or why it failed. */
export type ErrandResult = { readonly made: number } | SluiceError;

const OURS = path.join(import.meta.dirname, 'volume-errands-main.ts');
/** Node starts in 60 ms on an idle machine. */
const STARTS_WITHIN_MS = 5_000;

/**
 * Does all of them, in order, also after one has failed.
 * @param client   whose file system is attached; null where it is only taken off
 * @param eachMs   how long one may take
 * @returns for each errand; all the same when the program hung
 */
export async function runVolumeErrands(
  client: ErrandClient | null,
  errands: readonly VolumeErrand[],
  eachMs: number,
): Promise<ErrandResult[]> {
  if (errands.length === 0) return [];
  const argv = [process.execPath, ...process.execArgv, OURS] as const;
  const timeoutMs = STARTS_WITHIN_MS + eachMs * errands.length;
  const batch = { client, errands: [...errands] } satisfies Batch;
  try {
    const { code, stdout, stderr } = await run(argv, {
      stdin: JSON.stringify(batch),
      timeoutMs,
    });
    if (code !== 0) throw failed(stderr.slice(-500));
    return Outcome.parse(JSON.parse(stdout)).map((one) =>
      'made' in one ? one : new SluiceError(one.code as ErrorCode, one.message, one.hint),
    );
  } catch (error) {
    return errands.map(() => asSluiceError(error));
  }
}

function failed(why: string): SluiceError {
  return new SluiceError('storage_failed', `mounting a volume failed: ${why}`, "see storaged's log");
}

/** What the starter has written. */
export function readErrands(): Batch {
  return Batch.parse(JSON.parse(readFileSync(0, 'utf8')));
}

/** What the program does. */
export function doErrands({ client, errands }: Batch): z.infer<typeof Outcome> {
  process.umask(0o022);
  // A thread that shares its root directory with others may not change its mount namespace (setns(2)).
  unshare(CLONE_FS);
  const home = openSync('/proc/thread-self/ns/mnt', 'r');
  const proc = openSync('/proc', O_PATH | constants.O_DIRECTORY);
  const worker = new Worker(client, home, proc);
  let unanswered: z.infer<typeof Failure> | undefined;
  return errands.map((errand) => {
    if (unanswered !== undefined) return unanswered;
    try {
      return { made: worker.do(errand) };
    } catch (error) {
      const { code, message, hint } = asSluiceError(error);
      const failure = { code, message, hint };
      if (errand.do === 'ask') unanswered = failure;
      return failure;
    }
  });
}

type Errand<T extends VolumeErrand['do']> = Extract<VolumeErrand, { readonly do: T }>;

class Worker {
  readonly #client: ErrandClient | null;
  readonly #home: number;
  /** Of our own mount namespace: a tenant's may be anything. */
  readonly #proc: number;

  constructor(client: ErrandClient | null, home: number, proc: number) {
    this.#client = client;
    this.#home = home;
    this.#proc = proc;
  }

  /** @returns how many directories it has made */
  do(errand: VolumeErrand): number {
    switch (errand.do) {
      case 'ask':
        return this.#ask(errand);
      case 'place':
        return this.#place(errand);
      case 'attach':
        return this.#attach(errand);
      case 'remove':
        return this.#remove(errand);
    }
  }

  /** A client that was refused the volume, or finds no brick, has mounted something that fails at the first question. */
  #ask({ attribute }: Errand<'ask'>): number {
    return this.#atClient((root) => {
      try {
        statfsSync(root);
      } catch (cause) {
        throw new SluiceError(
          'storage_failed',
          `the volume does not answer: ${String(cause)}`,
          'sluice volume show says how its bricks are',
          { cause },
        );
      }
      if (attribute !== null && readXattr(root, attribute) === undefined)
        throw new SluiceError('try_again', 'the client runs without its translator', 'start another');
      return 0;
    });
  }

  #place({ part, point }: Errand<'place'>): number {
    const tree = this.#copy(part);
    try {
      const target = openSync(point, O_PATH | constants.O_DIRECTORY);
      try {
        attachTree(tree, target);
        return 0;
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(tree);
    }
  }

  #attach({ part, there, directory, make, over, source }: Errand<'attach'>): number {
    return this.#inDirectory(there, directory, make, (target, made) => {
      const around = this.#mountAround(there.pid, target);
      const isThere = around.point === directory;
      if (over === null && isThere && around.source === source) return made;
      if (over !== null && !(isThere && around.device === over)) return made;
      if (over === null) checkPrivate(directory, around);
      const tree = this.#copy(part);
      try {
        within(there, this.#home, () => attachTree(tree, target));
        this.#checkPlace(there, tree, directory);
        return made;
      } finally {
        closeSync(tree);
      }
    });
  }

  /**
   * Whoever may rename what lies on the way can have made the directory another place before the mount held it fast: a
   * directory with a mount on it cannot be renamed.
   */
  #checkPlace(there: z.infer<typeof There>, attached: number, directory: string): void {
    if (this.#mountAround(there.pid, attached).point === directory) return;
    within(there, this.#home, () => detachMount(attached, this.#proc));
    throw new SluiceError(
      'refused',
      `${directory} was moved while it was being mounted on`,
      'try again when nobody moves it',
    );
  }

  #remove({ there, directory, source, removeDirectories }: Errand<'remove'>): number {
    for (;;) {
      const more = this.#inDirectory(there, directory, false, (target) => {
        const around = this.#mountAround(there.pid, target);
        if (around.source !== source || around.point !== directory) return false;
        within(there, this.#home, () => detachMount(target, this.#proc));
        return true;
      });
      if (!more) break;
    }
    if (removeDirectories === 0) return 0;
    const root = openSync(`/proc/${there.pid}/root`, O_PATH | constants.O_DIRECTORY);
    try {
      removeDirectoriesIn(root, directory, removeDirectories);
      return 0;
    } finally {
      closeSync(root);
    }
  }

  #inDirectory<T>(
    { pid, inode }: z.infer<typeof There>,
    directory: string,
    make: boolean,
    section: (target: number, made: number) => T,
  ): T {
    checkNamespace(pid, inode);
    const root = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
    try {
      const { fd, made } = openDirectoryIn(root, directory, make);
      try {
        return section(fd, made);
      } finally {
        closeSync(fd);
      }
    } finally {
      closeSync(root);
    }
  }

  /** The mount that a directory lies in, as its namespace lists it. */
  #mountAround(pid: number, descriptor: number): Mount {
    const id = mountIdOf(descriptor, this.#proc);
    const found = this.#mountsOf(pid).find((one) => one.id === id);
    if (found === undefined) throw gone(pid);
    return found;
  }

  #mountsOf(pid: number): Mount[] {
    return parseMounts(readBelow(this.#proc, `${pid}/mountinfo`));
  }

  #copy({ directory, make, readOnly }: VolumePart): number {
    return this.#atClient((rootPath) => {
      const root = openSync(rootPath, O_PATH | constants.O_DIRECTORY);
      if (directory === null) return copied(root, readOnly);
      try {
        return copied(openDirectoryIn(root, directory, make).fd, readOnly);
      } finally {
        closeSync(root);
      }
    });
  }

  #atClient<T>(section: (root: string) => T): T {
    if (this.#client === null) throw failed('there is no client');
    const { pid, inode, root } = this.#client;
    return within({ pid, inode }, this.#home, () => section(root));
  }
}

function copied(directory: number, readOnly: boolean): number {
  try {
    return copyTree(directory, { readOnly });
  } finally {
    closeSync(directory);
  }
}

/** Runs a section in another mount namespace. */
function within<T>({ pid, inode }: z.infer<typeof There>, home: number, section: () => T): T {
  const there = openNamespace(pid);
  try {
    if (fstatSync(there).ino !== inode) throw gone(pid);
    setns(there, CLONE_NEWNS);
    try {
      return section();
    } finally {
      setns(home, CLONE_NEWNS);
    }
  } finally {
    closeSync(there);
  }
}

function checkNamespace(pid: number, inode: number): void {
  const there = openNamespace(pid);
  try {
    if (fstatSync(there).ino !== inode) throw gone(pid);
  } finally {
    closeSync(there);
  }
}

function openNamespace(pid: number): number {
  try {
    return openSync(`/proc/${pid}/ns/mnt`, 'r');
  } catch {
    throw gone(pid);
  }
}

function gone(pid: number): SluiceError {
  return new SluiceError('not_found', `process ${pid} is gone`, 'its container has ended');
}

/** What is mounted in it would appear elsewhere, too: with other tenants, or on the host. */
function checkPrivate(directory: string, { shared, point }: Mount): void {
  if (!shared) return;
  throw new SluiceError(
    'refused',
    `${directory} lies in ${point}, which shares its mounts with other namespaces`,
    'start the container with another propagation for it, or name another directory',
  );
}
