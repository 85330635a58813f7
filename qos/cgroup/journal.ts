/** What was written to a container's groups in one go, each read back at once, so that all of it can be put back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { textOf, WriteError, writeText, writeTextSlowly } from '../../linux/cgroup-files.ts';
import { SluiceError } from '../../model/errors.ts';

export interface Setting {
  readonly directory: string;
  readonly file: string;
  /** What is written. */
  readonly text: string;
  /** What puts the file back; it is known before anything is written. */
  readonly before: string;
  /** Whether the file, read again, says what was written. */
  holds(now: string): boolean;
  /** Writing may wait for memory to be reclaimed: not on the event loop. */
  readonly slow?: boolean;
}

export interface Journal {
  /** @throws SluiceError `kernel_refused`, `not_found`; nothing is put back yet */
  set(setting: Setting): Promise<void>;
  /** The same, but tells instead of throwing when what is in use is in the way, or is still being reclaimed. */
  attempt(setting: Setting): Promise<Obstacle | undefined>;
  /** Newest first, because files depend on each other. @returns what could not be put back */
  putBack(): Promise<readonly string[]>;
}

/** What an errno of these files means, for people (kernel documentation, cgroup-v1 and cgroup-v2). */
const MEANINGS: Readonly<Record<string, string>> = {
  EINVAL: 'the value does not fit the limits around it or below it',
  EBUSY: 'what is in use cannot be taken away',
  ERANGE: 'the value is larger than the kernel can count',
  EACCES: 'the group around it does not have what is asked for',
  EPERM: 'sluice needs root for it',
  EROFS: 'the hierarchy is mounted read-only',
  ETIMEDOUT: 'the kernel has not ended reclaiming in time',
  ENOSPC: 'the group would have no CPU left, or none that it may share',
};

/** `slow`: the kernel is still reclaiming, and goes on by itself. */
export type Obstacle = 'in use' | 'slow';

/** Stands among the errnos for a write that has not ended in time. */
const STILL_WRITING = 'ETIMEDOUT';

/** @param slowMs  how long one slow write is waited for */
export function openJournal(slowMs: number): Journal {
  const done: Setting[] = [];

  async function write({ directory, file, slow }: Setting, text: string): Promise<boolean> {
    if (slow === true) return endsWithin(writeTextSlowly(directory, file, text), slowMs);
    writeText(directory, file, text);
    return true;
  }

  /** @returns the errno when the kernel refuses */
  async function tryTo(setting: Setting): Promise<string | undefined> {
    const { directory, file, text } = setting;
    let written: boolean;
    try {
      written = await write(setting, text);
    } catch (error) {
      if (!(error instanceof WriteError)) throw error;
      if (textOf(directory, file) === undefined) throw gone(directory, error);
      return error.errno;
    }
    const now = textOf(directory, file);
    if (now === undefined) throw gone(directory);
    // Some files say what was written before all is reclaimed, others only then.
    if (!written && !setting.holds(now)) return STILL_WRITING;
    done.push(setting);
    if (!setting.holds(now)) {
      throw refused(
        setting,
        `and says ${JSON.stringify(now.trim())} when read again`,
        'somebody else writes it too?',
      );
    }
    return undefined;
  }

  return {
    async attempt(setting): Promise<Obstacle | undefined> {
      const errno = await tryTo(setting);
      if (errno === 'EBUSY') return 'in use';
      if (errno === STILL_WRITING) return 'slow';
      if (errno !== undefined) throw refusedFor(setting, errno);
      return undefined;
    },
    async set(setting): Promise<void> {
      const errno = await tryTo(setting);
      if (errno !== undefined) throw refusedFor(setting, errno);
    },
    async putBack(): Promise<string[]> {
      const left: string[] = [];
      for (const setting of done.splice(0).reverse()) {
        try {
          await write(setting, setting.before);
        } catch (error) {
          if (!(error instanceof WriteError)) throw error;
          left.push(error.message);
        }
      }
      return left;
    },
  };
}

async function endsWithin(work: Promise<void>, ms: number): Promise<boolean> {
  const stop = new AbortController();
  const late = sleep(ms, false, { signal: stop.signal }).catch(() => false);
  work.catch(() => undefined); // it may still fail when nobody waits for it any more
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    stop.abort();
  }
}

function refusedFor(setting: Setting, errno: string): SluiceError {
  return refused(setting, `is refused: ${errno}`, MEANINGS[errno] ?? 'see dmesg');
}

function refused({ directory, file, text }: Setting, what: string, hint: string): SluiceError {
  return new SluiceError('kernel_refused', `${directory}/${file}: ${JSON.stringify(text)} ${what}`, hint);
}

function gone(directory: string, cause?: unknown): SluiceError {
  const hint = 'its container has ended, or is being made anew';
  return new SluiceError('not_found', `the control group ${directory} is gone`, hint, { cause });
}
