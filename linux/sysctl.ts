/** Kernel settings of the current network namespace (/proc/sys/net). */
import { readFileSync, writeFileSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';

const ROOT = '/proc/sys/';

/** @param name  with slashes, because an interface name may hold dots: 'net/ipv4/conf/eth0.5/rp_filter' */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(ROOT + name, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** @throws SluiceError `kernel_refused` naming the setting. */
export function writeSysctl(name: string, value: string): void {
  try {
    writeFileSync(ROOT + name, value);
  } catch (error) {
    throw new SluiceError(
      'kernel_refused',
      `cannot set ${name.replaceAll('/', '.')} to ${value}: ${String(error)}`,
      'is /proc/sys writable?',
      { cause: error },
    );
  }
}
