/** Unix sockets that only their owner can reach, put where an earlier process may have died. */
import fs from 'node:fs';
import { connect, type Server } from 'node:net';
import path from 'node:path';
import { SluiceError } from '../model/errors.ts';

/** sun_path has 108 bytes with the closing NUL (linux/un.h); Node cuts longer paths without a word. */
const LONGEST_PATH = 107;

/**
 * Makes the server listen on a socket of mode 0600. Its directory is made 0700 when missing. A socket left behind
 * by a dead process is replaced; one that answers is not.
 *
 * @throws SluiceError `invalid_environment` (path too long, not a socket, directory open to others) or
 *   `already_exists` (a living process answers there)
 */
export async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  checkLength(socketPath);
  makeDirectory(path.dirname(socketPath));
  if (await isStale(socketPath)) fs.unlinkSync(socketPath);
  await listen(server, socketPath);
}

function checkLength(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= LONGEST_PATH) return;
  throw new SluiceError(
    'invalid_environment',
    `the socket path ${socketPath} has ${bytes} bytes; a unix socket takes at most ${LONGEST_PATH}`,
    'choose a shorter SLUICE_RUN_DIR',
  );
}

/** Whoever may write in the directory could put a socket of their own in place of ours. */
function makeDirectory(directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if ((fs.statSync(directory).mode & 0o022) === 0) return;
  throw new SluiceError(
    'invalid_environment',
    `others may write in ${directory}, so a socket there would not be safe`,
    `choose another SLUICE_RUN_DIR, or: chmod go-w ${directory}`,
  );
}

async function isStale(socketPath: string): Promise<boolean> {
  const stat = fs.lstatSync(socketPath, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (!stat.isSocket()) {
    throw new SluiceError('invalid_environment', `${socketPath} exists and is no socket`, 'move it away');
  }
  if (!(await answers(socketPath))) return true;
  throw new SluiceError(
    'already_exists',
    `another process already answers on ${socketPath}`,
    'stop it first, or choose another SLUICE_RUN_DIR',
  );
}

/** A full backlog (EAGAIN) is a living process too; only a refusal proves that nobody is there. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

/** The umask makes the socket 0600 from its first moment: a chmod afterwards would come too late. */
function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const umask = process.umask(0o177);
    try {
      server.listen(socketPath, () => {
        server.removeListener('error', reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}
