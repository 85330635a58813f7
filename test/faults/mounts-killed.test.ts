/** Gluster's clients and their keeper are killed: containers' paths come back, what was acknowledged stays. Needs root. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountsOf } from '../../linux/mount-table.ts';
import { run } from '../../linux/process.ts';
import type { MountKeeper } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';
import {
  clientsOf,
  openVolumeSite,
  podmanAt,
  type SitePodman,
  VOLUME,
  type VolumeSite,
  wishOf,
} from '../support/volume-site.ts';

let site: VolumeSite;
let keeper: MountKeeper;
let podman: SitePodman;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts file systems: run it as root');
  site = await openVolumeSite('sluice-mtk');
  await site.makeVolume(VOLUME);
  podman = await podmanAt(site);
});
beforeEach(async () => {
  keeper = await site.openKeeper();
});
afterEach(async () => {
  await keeper.keepOnly(() => false);
  await keeper.close();
});
afterAll(async () => {
  await podman?.close();
  await site?.close();
});

const KILLS = 5;
const WITHIN_MS = 1_000;

/** Kills the only client. @returns for how long the container's file could not be read, in ms */
async function killedFor(pid: number, file: string): Promise<number> {
  const { replaced } = keeper.mounts()[0]!;
  const killed = performance.now();
  process.kill(clientsOf(site)[0]!.id.pid, 'SIGKILL');
  let alive = 0;
  while (performance.now() < killed + 20_000) {
    if (!isReadable(`/proc/${pid}/root${file}`)) alive = 0;
    else if (alive === 0) alive = performance.now();
    if (alive !== 0 && keeper.mounts()[0]!.replaced === replaced + 1) return alive - killed;
    await sleep(2);
  }
  throw new Error('the path did not come back');
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
  it(`comes back within ${WITHIN_MS} ms, ${KILLS} times, and nothing acknowledged is lost`, async () => {
    let pid: number;
    if (bind === undefined) {
      pid = await podman.start(name);
      await keeper.mount(wishOf(name, { into: { pid, directory: '/data' } }));
    } else {
      const { hostPath } = await keeper.mount(wishOf(name));
      pid = await podman.start(name, ['--volume', hostPath + bind]);
    }
    await podman.podman.call(['exec', '--detach', name, 'sh', '-c', WRITER]);
    const acknowledged = (): string[] =>
      isReadable(`/proc/${pid}/root/acknowledged`)
        ? readFileSync(`/proc/${pid}/root/acknowledged`, 'utf8').trim().split('\n')
        : [];
    const times: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const before = acknowledged().length;
      await until('the writer gets on', () => acknowledged().length > before + 5);
      times.push(await killedFor(pid, '/data/w/0'));
    }
    const before = acknowledged().length;
    await until('the writer gets on', () => acknowledged().length > before + 5);
    writeFileSync(`/proc/${pid}/root/stop`, '');
    await until('the writer has stopped', () => existsSync(`/proc/${pid}/root/stopped`));
    const all = acknowledged();
    const lost = all.filter(
      (one) => readFileSync(`${site.brickOf(VOLUME)}/w/${one}`, 'utf8') !== recordOf(one),
    );
    process.stdout.write(
      `${how}: ${KILLS} clients killed, alive again after ${times.map(Math.round).join(', ')} ms; ` +
        `${all.length} records acknowledged, ${lost.length} lost\n`,
    );
    expect(lost).toEqual([]);
    expect(Math.max(...times)).toBeLessThanOrEqual(WITHIN_MS);
    expect(site.events.filter(({ what }) => what === 'client-replaced')).not.toEqual([]);
  });
});

describe('the keeper is killed', () => {
  let pid: number;
  beforeAll(async () => {
    pid = await podman.start('mortal');
  });

  /** What the next one finds is whole, or nothing; and nothing is there of it in the end. */
  async function checkAfter(): Promise<string> {
    keeper = await site.openKeeper();
    const found = keeper.mounts();
    for (const { hostPath } of found) {
      writeFileSync(`${hostPath}/proof`, 'proof');
      expect(readFileSync(`/proc/${pid}/root/made/data/proof`, 'utf8')).toBe('proof');
    }
    expect(clientsOf(site)).toHaveLength(found.length);
    await keeper.keepOnly(() => false);
    expect([...readdirSync(site.hostDir), ...readdirSync(site.clientDir), ...clientsOf(site)]).toEqual([
      'shares',
    ]);
    expect(mountsOf(pid).filter(({ type }) => type === 'fuse.glusterfs')).toEqual([]);
    return found.length === 0 ? 'undone' : 'kept';
  }

  const script = path.resolve(import.meta.dirname, '../support/mount-keeper-process.ts');
  const start = (dieAt: number | null, timeoutMs = 20_000): Promise<number> => {
    const orders = { directory: site.directory, into: pid, dieAt };
    return run([process.execPath, script, JSON.stringify(orders)], { timeoutMs }).then(
      ({ code }) => code,
      () => -1,
    );
  };

  it('at every step that it writes down', async () => {
    const ends: string[] = [];
    for (let dieAt = 0; ; dieAt += 0.5) {
      await keeper.close();
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
      await keeper.close();
      await start(null, afterMs);
      await checkAfter();
    }
  });
});
