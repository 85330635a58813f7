/** The compiled eBPF programs that come with this program. */
import path from 'node:path';
import { ROOT } from './version.ts';

export function planeObject(): string {
  return path.join(ROOT, 'build', 'fence.bpf.o');
}
