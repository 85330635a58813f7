/** Checks of what shared volumes take: Gluster, the translator, and the kernel's devices. */
import { type Finding, fail, ok, type ThoroughFacts, warn } from './facts.ts';

const INSTALL = 'apt-get install glusterfs-server glusterfs-client xfsprogs';

export function checkStorage({ storage }: Pick<ThoroughFacts, 'storage'>): Finding[] {
  if (storage.volumes === 'off') return [ok('storage', 'not needed: storage.volumes is off')];
  if (storage.missing.length > 0) {
    const found = `there is no ${storage.missing.join(', ')}: no volumes can be mounted here`;
    // Where it is left to what is installed, a node without volumes is a whole one.
    if (storage.volumes === 'auto') return [warn('storage', found, `if volumes are wanted: ${INSTALL}`)];
    return [fail('storage', found, INSTALL)];
  }
  return [ok('storage', 'Gluster and XFS are installed'), checkTranslator(storage), ...checkKernel(storage)];
}

function checkTranslator({ translator }: ThoroughFacts['storage']): Finding {
  if (translator.there) return ok('storage-translator', `the translator is built: ${translator.path}`);
  return fail(
    'storage-translator',
    `there is no ${translator.path}: volumes could not be limited, so none are mounted`,
    'apt-get install libglusterfs-dev gcc make, then scripts/setup.sh',
  );
}

function checkKernel({ lacks }: ThoroughFacts['storage']): Finding[] {
  if (lacks.length === 0) return [ok('storage-kernel', 'loop devices, XFS and FUSE are there')];
  return lacks.map((what) =>
    fail('storage-kernel', `the kernel has no ${what}`, 'load its module: modprobe loop xfs fuse'),
  );
}
