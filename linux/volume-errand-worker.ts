/** What the program does that linux/volume-errands.ts starts: each errand by system calls that no path can lead astray. */
import { closeSync, constants, fstatSync, openSync, readFileSync, statfsSync, writeSync } from 'node:fs';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import { CLONE_FS, CLONE_NEWNS, endWithParent, setns, unshare } from './libc.ts';
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
import {
  type Errand,
  ErrandBatch,
  type ErrandClient,
  type ErrandOutcome,
  type ErrandPlace,
  type VolumeErrand,
  type VolumePart,
} from './volume-errands.ts';
import { readXattr } from './xattr.ts';

/**
 * Reads what is to be done, does it, and tells of each errand on standard output.
 * @param starter  the process that has started this one: with it this one ends, so that what a later one finds stays so
 */
export function workForStarter(starter: number): void {
  endWithParent();
  if (process.ppid !== starter) return;
  const text = readFileSync(0, 'utf8');
  // It was not needed.
  if (text === '') return;
  for (const outcome of outcomesOf(ErrandBatch.parse(JSON.parse(text))))
    writeSync(1, `${JSON.stringify(outcome)}\n`);
}

function* outcomesOf({ client, errands }: ErrandBatch): Generator<ErrandOutcome> {
  process.umask(0o022);
  // A thread that shares its root directory with others may not change its mount namespace (setns(2)).
  unshare(CLONE_FS);
  const home = openSync('/proc/thread-self/ns/mnt', 'r');
  const proc = openSync('/proc', O_PATH | constants.O_DIRECTORY);
  const worker = new Worker(client, home, proc);
  let unanswered: ErrandOutcome | undefined;
  for (const errand of errands) {
    const outcome = unanswered ?? outcomeOf(worker, errand);
    if (errand.do === 'ask' && 'code' in outcome) unanswered = outcome;
    yield outcome;
  }
}

function outcomeOf(worker: Worker, errand: VolumeErrand): ErrandOutcome {
  try {
    return { made: worker.do(errand) };
  } catch (error) {
    const { code, message, hint } = asSluiceError(error);
    return { code, message, hint };
  }
}

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
  #checkPlace(there: ErrandPlace, attached: number, directory: string): void {
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
    { pid, inode }: ErrandPlace,
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
    if (this.#client === null) throw noClient();
    const { pid, inode, root } = this.#client;
    return within({ pid, inode }, this.#home, () => section(root));
  }
}

function noClient(): SluiceError {
  return new SluiceError(
    'storage_failed',
    'there is no client whose file system it is',
    "see storaged's log",
  );
}

function copied(directory: number, readOnly: boolean): number {
  try {
    return copyTree(directory, { readOnly });
  } finally {
    closeSync(directory);
  }
}

/** Runs a section in another mount namespace. */
function within<T>({ pid, inode }: ErrandPlace, home: number, section: () => T): T {
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
