/** Taking a directory away with everything in it. */
import { rmSync } from 'node:fs';

/** One that is not there is no error. */
export function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}
