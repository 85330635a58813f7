/** Ending the process that the kernel itself would end first when memory is out. */
import { readFileSync } from 'node:fs';
import { identify, isAlive } from './process.ts';

/** A process that says so is never chosen (OOM_SCORE_ADJ_MIN, proc_pid_oom_score_adj(5)). */
const NEVER = -1_000;

/**
 * Kills the one with the highest badness (proc_pid_oom_score(5)).
 * @returns false when there is none that may be killed
 */
export function killLargest(pids: readonly number[]): boolean {
  const candidates = pids.flatMap((pid) => {
    const id = identify(pid);
    const [score, adjustment] = [numberIn(pid, 'oom_score'), numberIn(pid, 'oom_score_adj')];
    if (id === undefined || score === undefined || adjustment === undefined || adjustment === NEVER)
      return [];
    return [{ id, score }];
  });
  candidates.sort((a, b) => b.score - a.score);
  const [first] = candidates;
  if (first === undefined || !isAlive(first.id)) return false;
  try {
    return process.kill(first.id.pid, 'SIGKILL');
  } catch {
    return false;
  }
}

function numberIn(pid: number, file: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/${file}`, 'utf8'));
  } catch {
    return undefined;
  }
}
