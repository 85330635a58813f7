/** How many threads of some processes run, want to run or wait uninterruptibly: what the kernel's load average counts. */
import { readdirSync, readFileSync } from 'node:fs';

/** proc_pid_stat(5), field 3. */
const ACTIVE = new Set(['R', 'D']);

/** Of processes that are gone: none. */
export function activeTasks(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + activeThreads(pid), 0);
}

function activeThreads(pid: number): number {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return 0;
  }
  return threads.filter((thread) => ACTIVE.has(stateOf(`/proc/${pid}/task/${thread}/stat`))).length;
}

function stateOf(file: string): string {
  try {
    const text = readFileSync(file, 'latin1');
    // The second field, the program's name, may hold spaces and brackets itself.
    return text.charAt(text.lastIndexOf(')') + 2);
  } catch {
    return '';
  }
}
