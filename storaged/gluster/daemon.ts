/**
 * glusterd in namespaces of its own. Nothing is remembered: what runs is found in the kernel, so that a new storaged
 * goes on where the last one was killed, and a glusterd that died is started again among its bricks.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { namesIn } from '../../linux/directories.ts';
import {
  copyAtomically,
  ensureDirectory,
  linkAtomically,
  readTextIfThere,
  removeIfThere,
  trimFile,
  writeAtomically,
} from '../../linux/files.ts';
import { watchBrickProcesses } from '../../linux/gluster-bricks.ts';
import {
  commandOf,
  endLasting,
  ensureLasting,
  findLasting,
  insideLasting,
  type LastingNamespaces,
  processesInMounts,
} from '../../linux/lasting-namespaces.ts';
import { type Argv, isAlive, type ProcessId, run, runOk, startDaemon } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { Config } from '../../model/config.ts';
import { SluiceError } from '../../model/errors.ts';
import type { GlusterDaemon } from '../contract.ts';
import {
  type GlusterPlace,
  markerOf,
  NAME_FILES,
  namespacesPlan,
  PRIVATE_ADDRESS,
  placeOf,
  volfileText,
} from './namespaces.ts';

export interface GlusterDaemonOptions {
  /** Absolute. All that is kept of Gluster; made when missing, 0700. */
  readonly directory: string;
  /** Other directories that programs inside must see; what is below /run is hidden otherwise. */
  readonly visible?: readonly string[];
  /** The node's address, where other nodes reach it; null: it is alone, and nobody else may. */
  readonly uplink: Ipv4 | null;
  /** Path of the network namespace that has the uplink's address; default: the caller's. */
  readonly netns?: string;
  readonly tls?: Config['storage']['tls'];
  /**
   * Files that appear in Gluster's library directory, by their path there, such as `xlator/features/sluice-io.so` or
   * `filter/sluice-io`; and the files that they are copied from.
   */
  readonly additions?: Readonly<Record<string, string>>;
  /** A library that glusterd loads before its own. */
  readonly preload?: string;
}

/** Of glusterd's own start. With many bricks on a busy machine it takes its time. */
const READY_MS = 30_000;
const POLL_MS = 50;
/** It has nothing to bring to an end; bricks close what they have open. */
const GRACE_MS = 3_000;
/** What one log may grow to before its older part goes. */
const LOG_BYTES = 16 * 2 ** 20;
/** Characters. */
const LAST_WORDS = 800;

export function createGlusterDaemon(options: GlusterDaemonOptions): GlusterDaemon {
  const { directory, uplink } = options;
  const address = uplink ?? PRIVATE_ADDRESS;
  const place = placeOf(directory);
  const names = { marker: markerOf(directory), lockFile: place.lockFile };
  let namespaces: LastingNamespaces | undefined;
  let glusterd: ProcessId | undefined;
  const processes = watchBrickProcesses(() => namespaces?.inode);
  let ending = false;
  let ensuring: Promise<void> | undefined;

  const inside = (argv: Argv): Argv => {
    if (namespaces !== undefined && isAlive(namespaces.holder)) return insideLasting(namespaces, argv);
    throw new SluiceError('try_again', 'glusterd is not running', 'storaged starts it again; try again');
  };
  const alive = (): boolean => glusterd !== undefined && isAlive(glusterd);

  async function ensure(): Promise<void> {
    if (alive() && namespaces !== undefined && isAlive(namespaces.holder)) return;
    prepare(place, options);
    await endIfElsewhere();
    namespaces = await namespacesOf();
    glusterd = processesInMounts(namespaces.inode).find(isGlusterd);
    if (glusterd === undefined) {
      for (const log of namesIn(place.log)) trimFile(path.join(place.log, log), LOG_BYTES);
      ({ id: glusterd } = await startDaemon(
        inside([
          ...preloading(place, options),
          'glusterd',
          '--no-daemon',
          '-f',
          place.volfile,
          '-p',
          '/run/glusterd.pid',
          '-L',
          'WARNING',
        ]),
        { logFile: path.join(place.log, 'glusterd.out') },
      ));
    }
    await answers(glusterd);
  }

  /** Where it listens and whom it believes cannot be changed under what runs. */
  async function endIfElsewhere(): Promise<void> {
    const wanted = JSON.stringify({ address, alone: uplink === null, tls: options.tls !== undefined });
    const file = path.join(directory, 'started-with.json');
    const before = readTextIfThere(file);
    if (before !== undefined && before !== wanted) await end();
    writeAtomically(file, wanted);
  }

  async function namespacesOf(): Promise<LastingNamespaces> {
    const found = await findLasting(names);
    if (found !== undefined) return found;
    const library = await libraryDirectory();
    const { visible = [], netns } = options;
    const uplinks = netns === undefined ? null : { path: netns };
    const network = uplink === null ? { ownAddress: address } : uplinks;
    return ensureLasting(namespacesPlan({ directory, visible, library, network }));
  }

  async function answers(id: ProcessId): Promise<void> {
    const deadline = performance.now() + READY_MS;
    const asked = ['gluster', '--mode=script', '--log-file=/dev/null', 'peer', 'status'] as const;
    while (isAlive(id) && performance.now() < deadline) {
      const { code, stdout } = await run(inside(asked), { timeoutMs: READY_MS });
      if (code === 0 && stdout.startsWith('Number of Peers')) return;
      await sleep(POLL_MS);
    }
    throw new SluiceError(
      'storage_failed',
      `glusterd ${isAlive(id) ? 'does not answer' : 'has ended'}: ${lastWords(place)}`,
      `see ${place.log}/glusterd.log`,
    );
  }

  async function end(): Promise<void> {
    const found = await findLasting(names);
    ending = true;
    try {
      if (found !== undefined) await endLasting(names, found, place.bricks, GRACE_MS);
    } finally {
      ending = false;
      namespaces = undefined;
      glusterd = undefined;
    }
  }

  return {
    address,
    brickRoot: place.bricks,
    kept: place.lib,
    holder: () =>
      namespaces !== undefined && isAlive(namespaces.holder) ? namespaces.holder.pid : undefined,
    serving: (bricks) => processes.serving(bricks),
    inside,
    isAlive: alive,
    ensure: () => {
      ensuring ??= ensure().finally(() => {
        ensuring = undefined;
      });
      return ensuring;
    },
    async died(signal): Promise<void> {
      while (alive() || ending) await sleep(POLL_MS, undefined, { signal });
    },
    stop: end,
  };
}

const PRELOAD = 'preload.so';

function preloading({ additions }: GlusterPlace, { preload }: GlusterDaemonOptions): Argv {
  return ['env', ...(preload === undefined ? [] : [`LD_PRELOAD=${path.join(additions, PRELOAD)}`])];
}

function isGlusterd(id: ProcessId): boolean {
  return path.basename(commandOf(id)[0] ?? '') === 'glusterd';
}

/** Directories, configuration, certificates and additions; every time, for they may have been renewed. */
function prepare(place: GlusterPlace, options: GlusterDaemonOptions): void {
  for (const one of [
    place.lib,
    place.log,
    place.tls,
    place.names,
    place.overlay,
    place.additions,
    place.bricks,
  ])
    ensureDirectory(one);
  for (const [name, text] of Object.entries(NAME_FILES)) writeAtomically(path.join(place.names, name), text);
  writeAtomically(place.volfile, volfileText(options.uplink ?? PRIVATE_ADDRESS));
  for (const [inLibrary, source] of Object.entries(options.additions ?? {})) {
    const copy = path.join(place.additions, inLibrary.replaceAll('/', '-'));
    copyAtomically(source, copy, 0o700);
    linkAtomically(copy, path.join(place.overlay, inLibrary));
  }
  if (options.preload !== undefined)
    copyAtomically(options.preload, path.join(place.additions, PRELOAD), 0o700);
  prepareTls(place, options.tls);
}

/** The names are compiled into Gluster (rpc/rpc-transport/socket/src/socket.c, DEFAULT_CERT_PATH and others). */
function prepareTls({ tls, lib }: GlusterPlace, wanted: GlusterDaemonOptions['tls']): void {
  const files = { pem: wanted?.certificate, key: wanted?.key, ca: wanted?.ca };
  for (const [ending, source] of Object.entries(files)) {
    const copy = path.join(tls, `glusterfs.${ending}`);
    if (source === undefined) removeIfThere(copy);
    else copyAtomically(source, copy, 0o600);
  }
  // Its being there turns TLS on for everything that glusterd itself says and hears.
  const secure = path.join(lib, 'secure-access');
  if (wanted === undefined) removeIfThere(secure);
  else writeAtomically(secure, '');
}

async function libraryDirectory(): Promise<string> {
  try {
    return path.dirname((await runOk(['glusterfs', '--print-xlatordir'])).trim());
  } catch (cause) {
    throw new SluiceError(
      'storage_failed',
      `Gluster is not installed: ${cause instanceof Error ? cause.message : String(cause)}`,
      'install glusterfs-server, or turn storage.volumes off',
      { cause },
    );
  }
}

/** Its last complaint, for whoever finds it dead. */
function lastWords({ log }: GlusterPlace): string {
  const lines = (readTextIfThere(path.join(log, 'glusterd.log')) ?? '').trim().split('\n');
  return lines
    .filter((line) => / [EC] \[/.test(line))
    .slice(-3)
    .join('; ')
    .slice(-LAST_WORDS);
}
