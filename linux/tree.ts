/** Directories as a whole: what is in them, and taking them away. */
import { readdirSync, rmSync } from 'node:fs';

/** @returns the names in a directory, sorted; none for a directory that is not there. */
export function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Removes a directory with everything in it; one that is not there is no error. */
export function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}
