/** Gluster's clients and their keeper are killed: containers' paths come back, what was acknowledged stays. Needs root. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountsOf } from '../../linux/mount-table.ts';
import { run } from '../../linux/process.ts';
import type { Mount } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';
import { clientOf, clientsOf, useVolumeSite, VOLUME, wishOf } from '../support/volume-site.ts';

const use = useVolumeSite('sluice-mtk');
const { it } = use;

const KILLS = 5;
/** On a machine that has nothing else to do. */
const WITHIN_MS = 1_000;
/** On one that is busy with other things. */
const AT_WORST_MS = 8_000;
const GIVE_UP_MS = 20_000;

/** Kills the client of a mount. @returns for how long the container's file could not be read, in ms */
async function killedFor(mount: Mount, pid: number, file: string): Promise<number> {
  const replaced = (): number => use.keeper.mounts().find(({ id }) => id === mount.id)?.replaced ?? 0;
  const before = replaced();
  const killed = performance.now();
  process.kill(clientOf(use.site, mount).id.pid, 'SIGKILL');
  let alive = 0;
  while (performance.now() < killed + GIVE_UP_MS) {
    if (!isReadable(`/proc/${pid}/root${file}`)) alive = 0;
    else if (alive === 0) alive = performance.now();
    if (alive !== 0 && replaced() > before) {
      if (replaced() > before + 1) throw new Error('the new client has died as well');
      return alive - killed;
    }
    await sleep(2);
  }
  const path = alive === 0 ? 'the path is dead still' : 'the path is alive';
  throw new Error(`${path}, and the client was replaced ${replaced() - before} times`);
}

function isReadable(file: string): boolean {
  try {
    return readFileSync(file, 'utf8') !== '';
  } catch {
    return false;
  }
}

/** Writes one file after the other, each on disk before it counts; one that fails is tried again. */
const WRITER = `i=0; mkdir -p /data/w
while [ ! -e /stop ]; do
  if yes "record $i" | head -c 4096 | dd of=/data/w/$i conv=fsync 2>/dev/null; then echo $i >>/acknowledged; i=$((i+1)); fi
done; touch /stopped`;
const recordOf = (number: string): string => `record ${number}\n`.repeat(512).slice(0, 4_096);

describe.each([
  ['bound rslave by its runtime', 'rslave', ':/data:rslave'],
  ['bound privately by its runtime', 'private', ':/data:private'],
  ['mounted in while it ran', 'into', undefined],
])('a client is killed under a writer in a container that has the volume %s', (how, name, bind) => {
  it(`comes back ${KILLS} times, and nothing acknowledged is lost`, async () => {
    let pid: number;
    let mount: Mount;
    if (bind === undefined) {
      pid = await use.podman.start(name);
      mount = await use.keeper.mount(wishOf(name, { into: { pid, directory: '/data' } }));
    } else {
      mount = await use.keeper.mount(wishOf(name));
      pid = await use.podman.start(name, ['--volume', mount.hostPath + bind]);
    }
    await use.podman.podman.call(['exec', '--detach', name, 'sh', '-c', WRITER]);
    const acknowledged = (): string[] =>
      isReadable(`/proc/${pid}/root/acknowledged`)
        ? readFileSync(`/proc/${pid}/root/acknowledged`, 'utf8').trim().split('\n')
        : [];
    const times: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const before = acknowledged().length;
      await until('the writer gets on', () => acknowledged().length > before + 5);
      times.push(await killedFor(mount, pid, '/data/w/0'));
    }
    const before = acknowledged().length;
    await until('the writer gets on', () => acknowledged().length > before + 5);
    writeFileSync(`/proc/${pid}/root/stop`, '');
    await until('the writer has stopped', () => existsSync(`/proc/${pid}/root/stopped`));
    const all = acknowledged();
    const lost = all.filter(
      (one) => readFileSync(`${use.site.brickOf(VOLUME)}/w/${one}`, 'utf8') !== recordOf(one),
    );
    process.stdout.write(
      `${how}: ${KILLS} clients killed, alive again after ${times.map(Math.round).join(', ')} ms; ` +
        `${all.length} records acknowledged, ${lost.length} lost\n`,
    );
    expect(lost).toEqual([]);
    expect(Math.min(...times)).toBeLessThanOrEqual(WITHIN_MS);
    expect(Math.max(...times)).toBeLessThanOrEqual(AT_WORST_MS);
    expect(use.site.events.filter(({ what }) => what === 'client-replaced')).not.toEqual([]);
  });
});

it('what cannot be mounted when a client is replaced is told, and tried again until it can', async () => {
  const pid = await use.podman.start('moved');
  const root = `/proc/${pid}/root`;
  const mount = await use.keeper.mount(wishOf('moved', { into: { pid, directory: '/way/data' } }));
  const state = (): string | undefined => use.keeper.mounts()[0]?.state;
  const told = (): string[] => use.site.events.map(({ what }) => what);
  renameSync(`${root}/way`, `${root}/aside`);
  symlinkSync('/tmp', `${root}/way`);
  process.kill(clientOf(use.site, mount).id.pid, 'SIGKILL');
  await until('it is told', () => told().includes('mount-dead'));
  expect(state()).toBe('broken');
  unlinkSync(`${root}/way`);
  renameSync(`${root}/aside`, `${root}/way`);
  await until('it is alive', () => state() === 'mounted');
  expect(told().at(-1)).toBe('mount-alive');
  writeFileSync(`${root}/way/data/again`, '');
  expect(existsSync(`${use.site.brickOf(VOLUME)}/again`)).toBe(true);
});

describe('the keeper is killed', () => {
  let pid: number;
  beforeAll(async () => {
    pid = await use.podman.start('mortal');
  });

  /** What the next one finds is whole, or nothing; and nothing is there of it in the end. */
  async function checkAfter(): Promise<string> {
    use.keeper = await use.site.openKeeper();
    const found = use.keeper.mounts();
    for (const { hostPath } of found) {
      writeFileSync(`${hostPath}/proof`, 'proof');
      expect(readFileSync(`/proc/${pid}/root/made/data/proof`, 'utf8')).toBe('proof');
    }
    expect(clientsOf(use.site)).toHaveLength(found.length);
    await use.keeper.keepOnly(() => false);
    expect([
      ...readdirSync(use.site.hostDir),
      ...readdirSync(use.site.clientDir),
      ...clientsOf(use.site),
    ]).toEqual(['shares']);
    expect(mountsOf(pid).filter(({ type }) => type === 'fuse.glusterfs')).toEqual([]);
    return found.length === 0 ? 'undone' : 'kept';
  }

  const script = path.resolve(import.meta.dirname, '../support/mount-keeper-process.ts');
  const start = (dieAt: number | null, timeoutMs = 20_000): Promise<number> => {
    const orders = { directory: use.site.directory, into: pid, dieAt };
    return run([process.execPath, script, JSON.stringify(orders)], { timeoutMs }).then(
      ({ code }) => code,
      () => -1,
    );
  };

  it('at every step that it writes down', async () => {
    const ends: string[] = [];
    for (let dieAt = 0; ; dieAt += 0.5) {
      await use.keeper.close();
      const code = await start(dieAt);
      ends.push(await checkAfter());
      if (code === 0) break;
      expect(code).toBe(137);
    }
    process.stdout.write(`killed at ${ends.length - 1} steps: ${ends.slice(0, -1).join(', ')}\n`);
    expect(ends).toContain('kept');
    expect(ends).toContain('undone');
    expect(ends.length).toBeGreaterThan(8);
  });

  it('at any moment', async () => {
    for (const afterMs of [200, 260, 320, 380, 440, 500]) {
      await use.keeper.close();
      await start(null, afterMs);
      await checkAfter();
    }
  });
});
