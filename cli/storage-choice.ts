/** What this node is to do for shared volumes: whether it can mount them, whether it keeps bricks, where Gluster listens. */
import path from 'node:path';
import { readCredential } from '../linux/credential.ts';
import { realPath } from '../linux/directories.ts';
import { findProgram } from '../linux/find-program.ts';
import type { Config } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeOptions } from './node-options.ts';
import type { Places } from './places.ts';

export interface StorageChoice {
  /** Whether volumes can be mounted here, so that storaged runs. */
  readonly volumes: boolean;
  readonly bricks: boolean;
  readonly network: 'private' | 'uplink';
}

/** glusterd with its command, the client, and what makes a brick's file system. */
const PROGRAMS = ['glusterd', 'gluster', 'glusterfs', 'mkfs.xfs'];

export function missingPrograms(): string[] {
  return PROGRAMS.filter((program) => findProgram(program) === undefined);
}

/** Where bricks' images are. */
export function poolOf(
  { stateDir }: Pick<Places, 'stateDir'>,
  { pool }: Pick<Config['storage'], 'pool'>,
): string {
  // Devices and mounts of bricks are found again by their images' paths, which have no links in them.
  return realPath(pool ?? path.join(stateDir, 'storage', 'pool'));
}

function networkOf({ network }: Config['storage'], isAlone: boolean): StorageChoice['network'] {
  if (network !== 'auto') return network;
  return isAlone ? 'private' : 'uplink';
}

interface Asked extends Pick<NodeOptions, 'listen' | 'join' | 'bricks'> {
  readonly places: Pick<Places, 'stateDir'>;
  readonly config: Pick<Config, 'storage'>;
}

/** @throws SluiceError `refused` when volumes or bricks are asked for and Gluster is not installed */
export function storageChoice({ listen, join, bricks, places, config: { storage } }: Asked): StorageChoice {
  const isAlone = listen === undefined && join === undefined && readCredential(places.stateDir) === undefined;
  const network = networkOf(storage, isAlone);
  const none: StorageChoice = { volumes: false, bricks: false, network };
  if (storage.volumes === 'off') {
    if (bricks === 'on') throw refused('a node without volumes keeps no bricks', 'say storage.volumes: auto');
    return none;
  }
  const missing = missingPrograms();
  const must = storage.volumes === 'on' || bricks === 'on';
  if (missing.length > 0 && must)
    throw refused(
      `shared volumes take Gluster and XFS, and there is no ${missing.join(', ')}`,
      'apt-get install glusterfs-server glusterfs-client xfsprogs, or say storage.volumes: off',
    );
  if (missing.length > 0) return none;
  return { volumes: true, bricks: bricks === 'on' || (bricks === 'auto' && isAlone), network };
}

function refused(message: string, hint: string): SluiceError {
  return new SluiceError('refused', message, hint);
}
