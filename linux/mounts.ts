/** What is mounted below a directory, and taking it off. */
import { readFileSync } from 'node:fs';
import { unmount } from './libc.ts';

/** MNT_DETACH (sys/mount.h): also while somebody is still in it. */
const DETACH = 2;

/** Mount points at or below the directory, innermost first (proc_pid_mountinfo(5)). */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}

/** Takes everything off that is mounted at or below the directory. @throws SluiceError `kernel_refused` */
export function unmountBelow(directory: string): void {
  for (const point of mountsBelow(directory)) unmount(point, DETACH);
}

/** The kernel writes blanks and backslashes as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
