import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { makeScratchDirectory } from '../linux/directories.ts';
import { SluiceError } from '../model/errors.ts';
import type { ContainerId, TenantName } from '../model/names.ts';
import type { MountId } from '../model/volume.ts';
import { type Containers, knowContainers } from './containers.ts';
import type { Mount } from './contract.ts';

const BLUE = 'blue' as TenantName;
const RED = 'red' as TenantName;
const WEB = 'web' as ContainerId;
const ID = 'm0123456789ab' as MountId;
const OTHER = 'm0123456789ac' as MountId;
/** No process has so high a number (proc(5), pid_max). */
const NO_PID = 2 ** 22 + 1;

let directory: string;
beforeEach(() => {
  directory = makeScratchDirectory('containers');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

interface World {
  readonly containers: Containers;
  /** Whom netd tells of; undefined: it is away. */
  told: readonly (readonly [ContainerId, TenantName])[] | undefined;
  /** Ms. */
  now: number;
}

function world(): World {
  const file = path.join(directory, 'containers.json');
  const here: World = {
    told: [],
    now: 0,
    containers: knowContainers(
      {
        request: async () => {
          if (here.told === undefined) throw new SluiceError('unreachable', 'netd is away', 'start it');
          return { endpoints: here.told.map(([containerId, tenant]) => ({ containerId, tenant })) };
        },
      },
      file,
      () => here.now,
    ),
  };
  return here;
}

const mount = (of: Partial<Mount> = {}): Mount =>
  ({ ...{ id: ID, container: WEB, tenant: BLUE, into: null }, ...of }) as Mount;

async function lives(containers: Containers, one = mount()): Promise<boolean> {
  const judge = await containers.judge();
  return judge?.(one) ?? true;
}

describe('whose a container is', () => {
  it('is told by netd, and nobody where it knows of none yet', async () => {
    const here = world();
    here.told = [[WEB, BLUE]];
    await expect(here.containers.tenantOf(WEB)).resolves.toBe(BLUE);
    await expect(here.containers.tenantOf('db' as ContainerId)).resolves.toBeUndefined();
  });

  it('is not taken for granted while netd is away', async () => {
    const here = world();
    here.told = undefined;
    await expect(here.containers.tenantOf(WEB)).rejects.toMatchObject({ code: 'not_ready' });
  });

  it('is remembered while netd is away', async () => {
    const here = world();
    here.told = [[WEB, RED]];
    await here.containers.tenantOf(WEB);
    here.told = undefined;
    await expect(here.containers.tenantOf(WEB)).resolves.toBe(RED);
  });
});

describe('a mount', () => {
  it('of a container that netd has never known stays; once known, it goes with it, also for the next daemon', async () => {
    const here = world();
    await expect(lives(here.containers)).resolves.toBe(true);
    here.told = [[WEB, BLUE]];
    await expect(lives(here.containers)).resolves.toBe(true);
    here.told = [];
    await expect(lives(here.containers)).resolves.toBe(false);
    await expect(lives(world().containers)).resolves.toBe(false);
  });

  it("goes from another tenant's container", async () => {
    const here = world();
    here.told = [[WEB, RED]];
    await expect(lives(here.containers)).resolves.toBe(false);
  });

  it('in a container that netd does not know goes with the process it was mounted for', async () => {
    const here = world();
    const child = spawn('sleep', ['60']);
    here.containers.mountedInto(ID, child.pid ?? 0);
    await expect(lives(here.containers)).resolves.toBe(true);
    await expect(lives(world().containers)).resolves.toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect(lives(world().containers)).resolves.toBe(false);
  });

  it('for a process that was gone when it was made goes, too', async () => {
    const here = world();
    here.containers.mountedInto(ID, NO_PID);
    await expect(lives(here.containers)).resolves.toBe(false);
  });

  it('in a container of before the machine was started goes, and one that its runtime may still bind stays', async () => {
    const here = world();
    const running = mount({ into: { pid: process.pid, directory: '/data' } });
    // It may be about to be made.
    await expect(lives(here.containers, running)).resolves.toBe(true);
    here.now = 60_000;
    await expect(lives(here.containers, mount({ id: OTHER }))).resolves.toBe(true);
    here.told = [[WEB, BLUE]];
    await expect(lives(here.containers, running)).resolves.toBe(true);
    here.told = [];
    const fresh = world();
    await lives(fresh.containers, running);
    fresh.now = 59_999;
    await expect(lives(fresh.containers, running)).resolves.toBe(true);
    fresh.now = 60_000;
    await expect(lives(fresh.containers, running)).resolves.toBe(false);
  });

  it('stays as long as netd cannot be asked', async () => {
    const here = world();
    here.told = undefined;
    await expect(here.containers.judge()).resolves.toBeUndefined();
  });

  it('that has ended is remembered no longer', async () => {
    const here = world();
    const kept = (): string => readFileSync(path.join(directory, 'containers.json'), 'utf8');
    here.containers.mountedInto(ID, process.pid);
    expect(kept()).toContain(ID);
    here.containers.unmounted(ID);
    expect(kept()).not.toContain(ID);
    here.containers.mountedInto(ID, process.pid);
    here.told = [[WEB, RED]];
    await lives(here.containers);
    expect(kept()).not.toContain(ID);
  });
});
