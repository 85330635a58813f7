/** Gluster on four nodes, each with a glusterd of ours: layouts, and what happens when a brick, a host or glusterd goes. */

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { healIndexOf } from '../../linux/gluster-bricks.ts';
import { runOk } from '../../linux/process.ts';
import type { NewGlusterVolume } from '../../storaged/contract.ts';
import { createGlusterDaemon } from '../../storaged/gluster/daemon.ts';
import { volumeOptions } from '../../storaged/gluster/options.ts';
import { createGlusterLab, type GlusterLab, type GlusterNode } from '../support/gluster-lab.ts';
import { checksumOf, RECORD_BYTES, WRITER, type Written } from '../support/verifying-writer.ts';

const VOLUME = 'sluice-v000000000001';
/** network.ping-timeout of docs/gluster.md. */
const PING_TIMEOUT_S = 5;

let lab: GlusterLab;
let [a, b, c, d]: readonly GlusterNode[] = [];

beforeAll(async () => {
  lab = await createGlusterLab('gle2e');
  [a, b, c, d] = lab.nodes;
}, 60_000);

afterAll(async () => lab?.close(), 60_000);

/** Two pairs, each with an arbiter on a third node. */
async function createTwoByTwo(name: string): Promise<void> {
  const bricks = await Promise.all([
    a!.brick(`${name}-0`),
    b!.brick(`${name}-1`),
    c!.brick(`${name}-2`),
    c!.brick(`${name}-3`),
    d!.brick(`${name}-4`),
    a!.brick(`${name}-5`),
  ]);
  await create({ name, layout: 'two-by-two', replicas: 3, arbiters: 1, bricks });
}

async function create(volume: NewGlusterVolume): Promise<void> {
  const hosts = lab.nodes.map(({ daemon }) => daemon.address);
  await a!.cluster.create(volume, volumeOptions({ hosts, tls: false }));
  await a!.cluster.start(volume.name);
}

const print = (line: string): boolean => process.stdout.write(`    ${line}\n`);

async function eventually<T>(
  what: string,
  seconds: number,
  ask: () => Promise<T>,
  fits: (got: T) => boolean,
): Promise<T> {
  let got = await ask();
  for (const deadline = performance.now() + seconds * 1_000; !fits(got); got = await ask()) {
    if (performance.now() > deadline)
      throw new Error(`${what}: still ${JSON.stringify(got)} after ${seconds} s`);
    await pause(100);
  }
  return got;
}

/** Writes while something happens, then compares what was acknowledged with what two hosts read. */
async function writeWhile(
  writer: GlusterNode,
  reader: GlusterNode,
  happening: (victim: GlusterNode) => Promise<void>,
): Promise<Written> {
  const [at, there] = [await writer.mount(VOLUME), await reader.mount(VOLUME)];
  const stop = '/run/stop';
  await writer.sh('rm -f "$1" "$1.count"', stop);
  const writing = writer.tryInside([process.execPath, '-e', WRITER, `${at}/records`, '5', stop], 60_000);
  const count = async (): Promise<number> =>
    Number(await writer.sh('cat "$1" 2>/dev/null || echo 0', `${stop}.count`));
  await eventually('the writer begins', 10, count, (records) => records >= 5);
  await happening(await holderOf('records'));
  const before = await count();
  await eventually('the writer goes on', 20, count, (records) => records >= before + 5);
  await writer.sh('touch "$1"', stop);
  const { stdout, stderr } = await writing;
  if (stdout === '') throw new Error(stderr);
  const written = JSON.parse(stdout) as Written;
  const sums = await Promise.all(
    [[writer, at] as const, [reader, there] as const].map(
      async ([node, directory]) =>
        (
          await node.sh(
            'head -c "$2" "$1" | sha256sum',
            `${directory}/records`,
            String(written.acknowledged * RECORD_BYTES),
          )
        ).split(' ')[0],
    ),
  );
  expect(sums).toEqual([checksumOf(written.acknowledged), checksumOf(written.acknowledged)]);
  await Promise.all([writer.unmount(at), reader.unmount(there)]);
  return written;
}

/** The second of the two that hold a file's data. */
async function holderOf(file: string): Promise<GlusterNode> {
  const held = await b!.tryInside(['test', '-e', `${b!.daemon.brickRoot}/${VOLUME}-1/data/${file}`]);
  return held.code === 0 ? b! : d!;
}

/** What the bricks on a node know of copies that are behind. */
const indicesOf = async ({ daemon }: GlusterNode): Promise<readonly string[]> => {
  const names = (await a!.status(VOLUME)).map(({ name }) => name);
  const paths = names
    .filter((one) => one.startsWith(`${daemon.address}:`))
    .map((one) => one.split(':')[1] ?? '');
  return Promise.all(paths.map((one) => healIndexOf(daemon.holder() ?? 0, one)));
};

const healed = async (within: number): Promise<number> => {
  const began = performance.now();
  await eventually(
    'healing',
    within,
    () => a!.cluster.healInfo(VOLUME),
    ({ pending, splitBrain }) => pending + splitBrain === 0,
  );
  return Math.round(performance.now() - began);
};

describe('four nodes with Gluster of their own', () => {
  it('knows all of them as members, and may be told again', async () => {
    await a!.cluster.probe(b!.daemon.address);
    await a!.cluster.probe(a!.daemon.address);
    const peers = await d!.cluster.peers();
    expect(peers.map(({ address }) => address).sort()).toEqual([a, b, c].map((one) => one!.daemon.address));
    expect(peers.every(({ connected, joined }) => connected && joined)).toBe(true);
  });

  it('makes volumes of each layout, identical in their options where they hold copies, and bricks of a node share a process', async () => {
    const began = performance.now();
    await createTwoByTwo(VOLUME);
    const created = Math.round(performance.now() - began);
    await create({
      name: 'sluice-single',
      layout: 'single',
      replicas: 1,
      arbiters: 0,
      bricks: [await d!.brick('single')],
    });
    const three = await Promise.all([b!.brick('three-0'), c!.brick('three-1'), d!.brick('three-2')]);
    await create({ name: 'sluice-three', layout: 'replica-3', replicas: 3, arbiters: 0, bricks: three });
    print(`two-by-two with arbiters made and started in ${created} ms`);

    const volumes = await b!.cluster.volumes();
    expect(
      volumes.map(({ name, state, bricks }) => [name, state, bricks.map(({ arbiter }) => arbiter)]),
    ).toEqual([
      ['sluice-single', 'started', [false]],
      ['sluice-three', 'started', [false, false, false]],
      [VOLUME, 'started', [false, false, true, false, false, true]],
    ]);
    const [single, ...replicated] = volumes.map(({ options }) => options);
    expect(replicated[0]).toEqual(replicated[1]);
    expect(replicated[0]).toMatchObject({ ...single, 'features.shard': 'on' });
    const brick = await d!.sh('cat /var/lib/glusterd/vols/"$1"/"$1".*.vol', VOLUME);
    expect(brick).toMatch(/type storage\/posix\n(?:.*\n)*? +option reserve 0\n/);
    const client = await d!.sh('cat /var/lib/glusterd/vols/"$1"/"$1".tcp-fuse.vol', VOLUME);
    expect(client).toMatch(/type cluster\/replicate\n(?:.*\n)*? +option quorum-type auto\n/);
    expect(client).not.toMatch(/type performance\/write-behind/);

    const bricks = await a!.status('all');
    expect(bricks.every(({ online }) => online)).toBe(true);
    const processes = (address: string): number[] =>
      bricks
        .filter(({ volume, name }) => volume !== 'sluice-single' && name.startsWith(address))
        .map(({ pid }) => pid);
    for (const { daemon } of lab.nodes) {
      expect(new Set(processes(daemon.address)).size).toBe(1);
      const own = bricks.filter(({ name }) => name.startsWith(daemon.address));
      const paths = own.map(({ name }) => name.split(':')[1] ?? '');
      expect([...daemon.serving([...paths, '/nowhere'])].sort()).toEqual(paths.sort());
    }
  }, 40_000);

  it('refuses a taken name, a used brick and a node that is no member, and leaves nothing of what it refused', async () => {
    const before = await a!.cluster.volumes();
    const used = before[0]!.bricks[0]!.name;
    const fresh = await a!.brick('fresh');
    const wish = { layout: 'single', replicas: 1, arbiters: 0 } as const;
    await expect(a!.cluster.create({ ...wish, name: VOLUME, bricks: [fresh] }, {})).rejects.toMatchObject({
      code: 'already_exists',
    });
    await expect(a!.cluster.create({ ...wish, name: 'other', bricks: [used] }, {})).rejects.toMatchObject({
      code: 'already_exists',
    });
    await expect(
      a!.cluster.create({ ...wish, name: 'other', bricks: ['192.0.2.77:/x/y'] }, {}),
    ).rejects.toMatchObject({ code: 'try_again' });
    await expect(
      a!.cluster.create({ ...wish, name: 'other', bricks: [fresh] }, { 'no.such-option': 'on' }),
    ).rejects.toMatchObject({ code: 'storage_failed', message: expect.stringContaining('no.such-option') });
    expect(await c!.cluster.volumes()).toEqual(before);
    await expect(a!.cluster.start('nothing')).rejects.toMatchObject({ code: 'not_found' });
    await expect(a!.cluster.delete(VOLUME)).rejects.toMatchObject({ code: 'storage_failed' });
  }, 20_000);

  it('loses nothing that was acknowledged when a brick is killed under a writer, and heals', async () => {
    const written = await writeWhile(c!, a!, async (victim) => {
      const { name, pid } = (await a!.status(VOLUME)).find((one) =>
        one.name.startsWith(victim.daemon.address),
      )!;
      await runOk(['kill', '-9', String(pid)]);
      const serves = async (): Promise<boolean> => victim.daemon.serving([name.split(':')[1]!]).size > 0;
      await eventually('it is seen', 5, serves, (does) => !does);
    });
    expect(written.errors).toEqual([]);
    print(`brick killed: ${written.acknowledged} records, longest ${written.longestMs} ms, lost 0`);
    await c!.sh(
      'mkdir -p /run/x; mount -t glusterfs "$1" /run/x; for n in 1 2 3 4; do head -c 16777216 /dev/urandom > /run/x/big$n; done; umount /run/x',
      `${c!.daemon.address}:/${VOLUME}`,
    );
    const down = await eventually(
      'the lost brick',
      5,
      () => a!.cluster.healInfo(VOLUME),
      ({ pending }) => pending > 0,
    );
    expect(down.splitBrain).toBe(0);
    const indices = async (): Promise<string> => (await Promise.all(lab.nodes.map(indicesOf))).flat().join();
    expect(await indices()).toContain('pending');
    await a!.cluster.revive(VOLUME);
    const took = await healed(25);
    await eventually('the indices are empty', 5, indices, (told) => /^(empty,?)+$/.test(told));
    print(`64 MiB and ${down.pending} entries healed in ${took} ms`);
  }, 40_000);

  it('goes on while a host is cut off for longer than the ping timeout, and heals without split brain', async () => {
    const written = await writeWhile(c!, a!, async (victim) => {
      await victim.link('down');
      await pause((PING_TIMEOUT_S + 2) * 1_000);
      await victim.link('up');
    });
    print(`host cut off: ${written.acknowledged} records, longest ${written.longestMs} ms, lost 0`);
    expect(written.errors).toEqual([]);
    expect(written.longestMs).toBeLessThan((PING_TIMEOUT_S + 5) * 1_000);
    await eventually(
      'the peer is back',
      20,
      () => a!.cluster.peers(),
      (peers) => peers.every(({ connected }) => connected),
    );
    await a!.cluster.heal(VOLUME).catch(() => undefined);
    await healed(25);
  }, 60_000);

  it('starts glusterd again among its bricks, and a new storaged adopts what runs', async () => {
    const bricks = async (): Promise<readonly number[]> =>
      (await a!.status(VOLUME))
        .filter(({ name }) => name.startsWith(b!.daemon.address))
        .map(({ pid }) => pid);
    const before = await bricks();
    const died = b!.daemon.died(AbortSignal.timeout(5_000));
    await b!.sh('kill -9 "$(cat /run/glusterd.pid)"');
    await died;
    expect(b!.daemon.isAlive()).toBe(false);
    await b!.daemon.ensure();
    expect(
      await eventually(
        'its bricks',
        10,
        bricks,
        (pids) => pids.length === before.length && pids.every((pid) => pid > 0),
      ),
    ).toEqual(before);

    const directory = b!.daemon.brickRoot.replace(/\/bricks$/, '');
    const next = createGlusterDaemon({ directory, uplink: b!.daemon.address });
    await next.ensure();
    const [pid, samePid] = await Promise.all(
      [next, b!.daemon].map((one) => runOk(one.inside(['cat', '/run/glusterd.pid']))),
    );
    expect(pid).toBe(samePid);
    expect(await runOk(next.inside(['mountpoint', `${next.brickRoot}/${VOLUME}-1`]))).toContain(
      'is a mountpoint',
    );
  }, 30_000);

  it('stops and deletes; twice is no error, and a deleted one is not found', async () => {
    await a!.cluster.stop(VOLUME);
    await a!.cluster.stop(VOLUME);
    await a!.cluster.delete(VOLUME);
    await expect(a!.cluster.delete(VOLUME)).rejects.toMatchObject({ code: 'not_found' });
    expect((await d!.cluster.volumes()).map(({ name }) => name)).not.toContain(VOLUME);
  }, 30_000);

  it('leaves the machine’s own Gluster untouched', async () => {
    expect(
      await runOk([
        'sh',
        '-c',
        'ls -A /var/lib/glusterd/vols /var/lib/glusterd/glusterd.info 2>/dev/null | wc -l',
      ]),
    ).toBe('0\n');
  });
});
