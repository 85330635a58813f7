/** What the processes of a node weigh. */
import { readTextIfThere } from '../../linux/files.ts';
import { SluiceError } from '../../model/errors.ts';

export interface Weight {
  /** The role, or `up` for the supervisor. */
  readonly role: string;
  readonly pid: number;
  /** Proportional set size: pages shared by n processes count one n-th for each. */
  readonly pssBytes: number;
  readonly privateBytes: number;
}

/** @throws SluiceError `not_found` when one of the processes is gone */
export function weighNode(supervisor: number): Weight[] {
  return [supervisor, ...childrenOf(supervisor)].map(weigh);
}

function childrenOf(pid: number): number[] {
  return read(pid, `task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

function weigh(pid: number): Weight {
  const words = read(pid, 'cmdline').split('\0');
  const script = words.findIndex((word) => word.endsWith('cli/main.ts'));
  const rollup = parseRollup(read(pid, 'smaps_rollup'));
  const bytes = (key: string): number => rollup.get(key) ?? 0;
  return {
    role: words[script + 1] ?? 'unknown',
    pid,
    pssBytes: bytes('Pss'),
    privateBytes: bytes('Private_Clean') + bytes('Private_Dirty'),
  };
}

/** The sums of /proc/PID/smaps_rollup (proc_pid_smaps(5)) in bytes. */
export function parseRollup(text: string): Map<string, number> {
  const lines = [...text.matchAll(/^(\w+): +(\d+) kB$/gm)];
  return new Map(lines.map(([, key = '', kibibytes]) => [key, Number(kibibytes) * 1024]));
}

function read(pid: number, file: string): string {
  const text = readTextIfThere(`/proc/${pid}/${file}`);
  if (text !== undefined) return text;
  throw new SluiceError('not_found', `process ${pid} is gone`, 'the log of the node says why');
}
