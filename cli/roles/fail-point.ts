/** For tests of crashes: lets a daemon die at a chosen point, as `kill -9` at that moment would. */
import { readTextIfThere, removeIfThere, writeAtomically } from '../../linux/files.ts';

/**
 * @param file  holds the names of points, one a line: the daemon dies when it reaches the first of them, and is
 *   spared from then on, until it reaches the next. It may be written while the daemon runs. No file, no death
 */
export function failPoints(file: string | undefined): (point: string) => void {
  if (file === undefined) return () => {};
  return (point) => {
    const [next, ...later] = (readTextIfThere(file) ?? '').split('\n');
    if (next !== point) return;
    // Written down first: the successor must not die of the same point.
    if (later.length === 0) removeIfThere(file);
    else writeAtomically(file, later.join('\n'));
    process.kill(process.pid, 'SIGKILL');
  };
}
