/** The machine a figure was measured on: without it no figure means anything. */
import os from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** The load average of the last minute at the start: high means that others were at work, too. */
  readonly load: number;
}

export function thisMachine(): Machine {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim() || os.machine(),
    cpus: cpus.length,
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    node: process.versions.node,
    load: os.loadavg()[0] ?? 0,
  };
}

/** Two CPUs for the two ends of a path; the same one twice where there is no other. */
export function twoCpus(): { readonly from: number; readonly to: number } {
  return { from: 0, to: Math.min(1, os.availableParallelism() - 1) };
}
