/** What a process has open. */
import { readdirSync, readlinkSync } from 'node:fs';

/** Whether it has a directory open, or anything below it: by the names that its own mount namespace has for them. */
export function hasOpenBelow(pid: number, directory: string): boolean {
  return openFilesOf(pid).some((file) => file === directory || file.startsWith(`${directory}/`));
}

/** @returns none when the process is gone */
function openFilesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
