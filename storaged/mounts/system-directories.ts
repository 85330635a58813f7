/** Directories of a container that no volume is mounted over: what is there decides what its programs are. Pure. */
import { SluiceError } from '../../model/errors.ts';

/** Neither these nor anything below them (docs/mounts.md). */
const WITH_ALL_BELOW = ['proc', 'sys', 'dev', 'etc', 'usr', 'bin', 'sbin', 'boot', 'run'];
/** Nor these themselves. */
const ALONE = ['/var', '/var/run', '/var/lock', '/var/lib', '/root', '/tmp'];

/** @throws SluiceError `refused` */
export function checkMountDirectory(directory: string): void {
  const [first = ''] = directory.split('/').slice(1);
  const isSystem =
    WITH_ALL_BELOW.includes(first) || /^lib(?:32|64|x32|o32|exec)?$/.test(first) || ALONE.includes(directory);
  if (!isSystem) return;
  throw new SluiceError(
    'refused',
    `${directory} belongs to the container's system`,
    'mount the volume at a directory of its own, such as /data',
  );
}
