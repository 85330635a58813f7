/** The small C programs that measure; `make` builds them. */
import path from 'node:path';

/** @param name  of a source in this folder, without `.c` */
export function helper(name: 'netbench' | 'ratebench' | 'cnibench' | 'nfqloop' | 'limitload'): string {
  return path.resolve(import.meta.dirname, '../build/bench', name);
}
