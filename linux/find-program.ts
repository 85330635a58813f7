/** Where a program is, if it is installed. */
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** Where daemons are; not on everybody's PATH. */
const ALSO = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** @returns undefined when there is no such program that may be executed */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(':').filter((one) => one !== ''), ...ALSO];
  return directories.map((directory) => path.join(directory, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
