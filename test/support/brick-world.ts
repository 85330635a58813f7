/** A pool, and a mount namespace in glusterd's place: bricks are real images on loop devices. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ensureDirectory } from '../../linux/files.ts';
import { detachLoop, loopsInUse } from '../../linux/loop.ts';
import { mountsOf } from '../../linux/mount-table.ts';
import { type Argv, type Daemon, run, runOk, startDaemon } from '../../linux/process.ts';
import type { VolumeId } from '../../model/volume.ts';
import { type BrickKeeperOptions, createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { Place } from '../../storaged/bricks/observe.ts';
import type { BrickKeeper, WantedBrick } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';

export const MIB = 2 ** 20;
export const VOLUME = 'v0123456789ab' as VolumeId;

export interface BrickWorld extends AsyncDisposable {
  readonly place: Place;
  readonly directory: string;
  /** As a daemon that starts anew. */
  keeper(options?: Partial<Pick<BrickKeeperOptions, 'reserve' | 'overcommit' | 'health'>>): BrickKeeper;
  /** Runs it where the bricks are mounted. */
  run(...argv: [string, ...string[]]): ReturnType<typeof run>;
  shell(script: string): Promise<string>;
  inside(argv: Argv): Argv;
  /** A process in the namespace. */
  pid(): number;
  /** The namespace ends with all that is mounted in it, as when the machine starts again. */
  reboot(): Promise<void>;
  /** What of its bricks the kernel still has. */
  left(): string[];
}

export const brick = (more: Partial<WantedBrick> = {}): WantedBrick => ({
  ...{ volume: VOLUME, index: 0, bytes: 256 * MIB, inodes: null, thin: true },
  ...more,
});

/**
 * @param name  the first part of its directory's name; no other test's
 * @param parent  a directory on a file system for images
 */
export async function brickWorld(name: string, parent = tmpdir()): Promise<BrickWorld> {
  const directory = realpathSync(mkdtempSync(path.join(parent, `${name}-`)));
  const brickRoot = path.join(directory, 'bricks');
  ensureDirectory(brickRoot);
  const begin = async (): Promise<Daemon> => {
    const holder = await startDaemon(['unshare', '--mount', '--propagation', 'private', 'sleep', 'infinity']);
    await until('it sleeps in its namespace', () => isApart(holder.id.pid));
    return holder;
  };
  let holder = await begin();
  const inside = (argv: Argv): Argv => ['nsenter', `--mount=/proc/${holder.id.pid}/ns/mnt`, ...argv];
  const daemon = { ensure: async () => {}, isAlive: () => true, inside, brickRoot };
  const place: Place = { pool: path.join(directory, 'pool'), daemon };
  const left = (): string[] => [
    ...loopsInUse()
      .filter(({ file }) => file.startsWith(directory))
      .map(({ device, file }) => `${device} ${file}`),
    ...mountsOf('self')
      .map(({ point }) => point)
      .filter((point) => point.startsWith(directory)),
  ];
  const end = async (): Promise<void> => {
    await holder.stop();
    for (const { device, file } of loopsInUse()) if (file.startsWith(directory)) detachLoop(device);
    await until('the kernel has let go of the bricks', () => left().length === 0);
  };
  return {
    ...{ place, directory, inside, left },
    pid: () => holder.id.pid,
    keeper: (options) => createBrickKeeper({ ...place, reserve: 1, overcommit: 2, ...options }),
    run: (...argv) => run(inside(argv)),
    shell: (script) => runOk(inside(['sh', '-ec', script])),
    reboot: async () => {
      await end();
      holder = await begin();
    },
    async [Symbol.asyncDispose]() {
      await end();
      rmSync(directory, { recursive: true });
    },
  };
}

async function isApart(pid: number): Promise<boolean> {
  const comm = await runOk(['ps', '-o', 'comm=', '-p', String(pid)]);
  return comm.trim() === 'sleep';
}
