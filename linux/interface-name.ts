/** The name of a network interface by its index, in the current network namespace. */
import koffi from 'koffi';
import type { IfName } from '../model/names.ts';

const IFNAMSIZ = 16;
const if_indextoname = koffi.load('libc.so.6').func('void *if_indextoname(uint32_t index, void *name)');

/** @returns undefined when there is no such interface (any more). */
export function interfaceName(index: number): IfName | undefined {
  const name = Buffer.alloc(IFNAMSIZ);
  if (if_indextoname(index, name) === null) return undefined;
  return name.toString('utf8', 0, name.indexOf(0)) as IfName;
}
