/** Lists of CPUs as the kernel writes them, such as `0-3,7` (cpuset(7), list format). Pure. */
import { SluiceError } from '../../model/errors.ts';

/** CONFIG_NR_CPUS goes no further on any machine. */
const LAST_CPU = 8_191;

/** @throws SluiceError `invalid_request` for what is no list, or an empty one */
export function parseCpuList(text: string): number[] {
  const cpus = new Set<number>();
  for (const part of text.trim().split(',')) {
    const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    const [from, to] = [Number(first ?? -1), Number(last ?? first ?? -1)];
    if (from < 0 || to < from || to > LAST_CPU) {
      throw new SluiceError(
        'invalid_request',
        `${JSON.stringify(text)} is no list of CPUs`,
        'write it like 0-3,7',
      );
    }
    for (let cpu = from; cpu <= to; cpu += 1) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

/** What a file of the kernel says; an empty one is a list of none. */
export function cpusIn(text: string): number[] {
  return text.trim() === '' ? [] : parseCpuList(text);
}

export function formatCpuList(cpus: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const cpu of cpus) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === cpu - 1) run[1] = cpu;
    else runs.push([cpu, cpu]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

export function sameCpus(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((cpu, index) => cpu === other[index]);
}
