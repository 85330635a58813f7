/** The version of this program, as package.json has it. */
import path from 'node:path';
import { readTextIfThere } from '../linux/files.ts';

/** The directory that holds package.json, bin/ and build/. */
export const ROOT = path.dirname(import.meta.dirname);

export function versionOf(root = ROOT): string {
  const { version } = JSON.parse(readTextIfThere(path.join(root, 'package.json')) ?? '{}') as {
    version?: string;
  };
  return version ?? 'unknown';
}
