/** How many processes and threads a container may have. */
import { textOf } from '../../linux/cgroup-files.ts';
import type { CgroupLimits } from '../contract.ts';
import type { Carrying, Driver } from './driver.ts';

const FILE = 'pids.max';
/** PID_MAX_LIMIT on 64 bits (include/linux/threads.h): pids.max takes no more. */
const MOST = 4 * 1_024 ** 2;

/** The same file in both versions. A limit below what is there ends nothing: it refuses further ones. */
export const pidsDriver: Driver = {
  fields: ['pids'],
  async read({ directory }): Promise<CgroupLimits> {
    const text = textOf(directory, FILE)?.trim();
    if (text === undefined) return {};
    return { pids: text === 'max' ? null : Number(text) };
  },
  async prepare({ directory }, wanted, notes): Promise<Carrying> {
    const asked = wanted.pids;
    if (asked === undefined) return nothing;
    const before = textOf(directory, FILE)?.trim();
    if (before === undefined) {
      if (asked !== null) notes.add('pids', asked, 'this kernel does not have it');
      return nothing;
    }
    const count = asked === null ? null : Math.min(Number(asked), MOST);
    if (count !== asked) notes.add('pids', asked, `the kernel counts no further than ${MOST}`, count);
    const text = count === null ? 'max' : String(count);
    return async (journal) => {
      if (text === before) return;
      await journal.set({ directory, file: FILE, text, before, holds: (now) => now.trim() === text });
    };
  },
};

const nothing: Carrying = async () => undefined;
