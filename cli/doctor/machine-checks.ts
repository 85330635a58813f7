/** Checks of the machine itself: rights, files, room. */
import { type Finding, fail, type MachineFacts, ok, warn } from './facts.ts';

export function checkRoot({ root }: MachineFacts): Finding {
  return root ? ok('root', 'this is root') : fail('root', 'this is not root', 'use sudo');
}

export function checkObject({ object, plane }: MachineFacts): Finding {
  if (plane === 'nfqueue') return ok('object', 'not needed: tagqueue.plane is nfqueue');
  if (object.there) return ok('object', `the eBPF programs are built: ${object.path}`);
  return fail('object', `there is no ${object.path}`, 'build the eBPF programs: scripts/setup.sh');
}

/** sun_path has 108 bytes with the closing NUL (linux/un.h). */
const LONGEST_SOCKET_PATH = 107;

export function checkSocketPaths({ sockets }: MachineFacts): Finding {
  const long = sockets
    .map(({ path }) => path)
    .filter((path) => Buffer.byteLength(path) > LONGEST_SOCKET_PATH);
  if (long.length === 0) return ok('socket-paths', 'the paths of the sockets are short enough');
  return fail(
    'socket-paths',
    `${long.join(' and ')} ${long.length === 1 ? 'has' : 'have'} more than ${LONGEST_SOCKET_PATH} bytes, which no unix socket can`,
    'choose a shorter SLUICE_RUN_DIR',
  );
}

const GROUP_AND_OTHERS = 0o077;
const GROUP_AND_OTHERS_WRITE = 0o022;

/** Whoever can write to a socket is root to the daemon behind it. */
export function checkPermissions({ sockets, directories }: MachineFacts): Finding {
  const open = sockets.filter(({ access }) => access !== undefined && (access.mode & GROUP_AND_OTHERS) !== 0);
  const loose = directories.filter(
    ({ access }) => access !== undefined && (access.mode & GROUP_AND_OTHERS_WRITE) !== 0,
  );
  if (open.length + loose.length === 0)
    return ok('permissions', 'sockets and directories belong to root alone');
  const [first] = [...open.map(({ path }) => path), ...loose.map(({ path }) => path)];
  const what = [...open, ...loose].map(({ path, access }) => `${path} (${(access?.mode ?? 0).toString(8)})`);
  return fail('permissions', `others may use ${what.join(', ')}`, `chmod go-rwx ${first}`);
}

const MIB = 2 ** 20;
const ENOUGH_BYTES = 100 * MIB;
const LEAST_BYTES = 10 * MIB;
const LEAST_FILES = 100;

export function checkRoom({ directories }: MachineFacts): Finding {
  const left = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;
  for (const { path, room } of directories) {
    const found = `${left(room.bytes)} and ${room.files} files are left for ${path}`;
    if (room.bytes < LEAST_BYTES || room.files < LEAST_FILES)
      return fail('room', found, 'make room: records could not be written');
    if (room.bytes < ENOUGH_BYTES) return warn('room', found, 'make room before it is needed');
  }
  return ok('room', directories.map(({ path, room }) => `${path}: ${left(room.bytes)}`).join(', '));
}
