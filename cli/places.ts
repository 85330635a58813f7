/** Where a node keeps what: the directories and files that the environment names (docs/configuration.md). */
import path from 'node:path';
import { realPath } from '../linux/directories.ts';
import { SluiceError } from '../model/errors.ts';

export interface Places {
  /** Sockets, pins and what else ends with the machine. */
  readonly runDir: string;
  /** What must survive it. */
  readonly stateDir: string;
  readonly configFile: string;
  /** Whether somebody asked for this very file: then it must be there. */
  readonly configNamed: boolean;
}

export type Daemon = 'server' | 'tagqueue' | 'netd' | 'storaged';
/** In the order of starting. */
export const DAEMONS: readonly Daemon[] = ['server', 'tagqueue', 'netd', 'storaged'];

/** Which of them run on a node. @param joined  whether its server is another machine's; @param storage  whether it can mount volumes */
export function daemonsOf({
  joined,
  storage,
}: {
  readonly joined: boolean;
  readonly storage: boolean;
}): Daemon[] {
  return DAEMONS.filter((daemon) => {
    if (daemon === 'server') return !joined;
    return daemon !== 'storaged' || storage;
  });
}

/** @throws SluiceError `invalid_environment` */
export function placesOf(env: NodeJS.ProcessEnv): Places {
  return {
    runDir: directory(env, 'SLUICE_RUN_DIR', '/run/sluice'),
    stateDir: directory(env, 'SLUICE_STATE_DIR', '/var/lib/sluice'),
    configFile: path.resolve(env['SLUICE_CONFIG'] || '/etc/sluice/sluice.yaml'),
    configNamed: Boolean(env['SLUICE_CONFIG']),
  };
}

function directory(env: NodeJS.ProcessEnv, name: string, otherwise: string): string {
  // Mounts and devices below it are found again by their paths, which have no links in them.
  const resolved = realPath(path.resolve(env[name] || otherwise));
  // `down` and `uninstall` remove what is in it.
  if (resolved !== '/') return resolved;
  throw new SluiceError('invalid_environment', `${name} is /`, 'choose a directory of its own');
}

export function socketOf({ runDir }: Pick<Places, 'runDir'>, daemon: Daemon): string {
  return path.join(runDir, `${daemon}.sock`);
}
