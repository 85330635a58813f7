/** A volume of two by two copies and arbiters, on bricks of our own, in a real Gluster: filled, and grown while it is full. */
import { readdirSync } from 'node:fs';
import { translatorPieces } from '../../cli/translator-pieces.ts';
import { loopsInUse } from '../../linux/loop.ts';
import { arbiterBytes, brickNeed } from '../../model/brick-size.ts';
import type { NodeName } from '../../model/names.ts';
import { type Brick, glusterName, replicaSetsOf, type Volume, type VolumeId } from '../../model/volume.ts';
import { createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { BrickKeeper } from '../../storaged/contract.ts';
import { CLUSTER_OPTIONS, volumeOptions } from '../../storaged/gluster/options.ts';
import { until } from '../runtimes/until.ts';
import { createGlusterLab, type GlusterLab, type GlusterNode } from '../support/gluster-lab.ts';

const MIB = 2 ** 20;
const ID = 'v00b41c5f0110' as VolumeId;
const NAME = glusterName(ID);
const SETS = 2;
const SIZE = 512 * MIB;
const GROWN = 640 * MIB;
/** By chance, and by what else the machine does, a little of the other set is left when one is full. */
const LEAST = 0.8;
/** Each set's arbiter stands where its data does not. */
const NODES = ['a', 'b', 'c', 'b', 'c', 'a'] as const;

let lab: GlusterLab;
let keepers: ReadonlyMap<string, BrickKeeper>;
let clients: readonly { readonly node: GlusterNode; readonly at: string }[];

const nodeOf = (name: string): GlusterNode => lab.nodes.find(({ node }) => node.name === name)!;

function volumeOf(sizeBytes: number): Pick<Volume, 'bricks' | 'layout' | 'inodes' | 'thin'> {
  const dataBytes = sizeBytes / SETS;
  const arbiter = Math.min(arbiterBytes({ inodes: null, dataBytes, sets: SETS }), dataBytes);
  const bricks = NODES.map((name, index): Brick => {
    const role = index % 3 === 2 ? 'arbiter' : 'data';
    const bytes = role === 'arbiter' ? arbiter : dataBytes;
    return { node: name as NodeName, address: nodeOf(name).daemon.address, role, bytes };
  });
  return { bricks, layout: 'two-by-two', inodes: null, thin: false };
}

/** @returns what Gluster is told of them */
async function ensureBricks(sizeBytes: number): Promise<string[]> {
  const volume = volumeOf(sizeBytes);
  return Promise.all(
    volume.bricks.map(async ({ node, address }, index) => {
      const wanted = { volume: ID, index, ...brickNeed(volume, index) };
      return `${address}:${(await keepers.get(node)!.ensure(wanted)).path}`;
    }),
  );
}

beforeAll(async () => {
  const { object, filter } = translatorPieces();
  lab = await createGlusterLab('bkfull', ['a', 'b', 'c'], () => ({
    additions: { 'xlator/features/sluice-io.so': object, 'filter/sluice-io': filter },
  }));
  keepers = new Map(
    lab.nodes.map(({ node, daemon }) => [
      node.name,
      createBrickKeeper({ pool: `${node.stateDir}/pool`, daemon, reserve: 1, overcommit: 2 }),
    ]),
  );
  const { cluster } = lab.nodes[0]!;
  const bricks = await ensureBricks(SIZE);
  await cluster.set('all', CLUSTER_OPTIONS);
  const volume = volumeOf(SIZE);
  expect(replicaSetsOf(volume)).toHaveLength(SETS);
  const hosts = lab.nodes.map(({ daemon }) => daemon.address);
  await cluster.create(
    { name: NAME, layout: 'two-by-two', replicas: 3, arbiters: 1, bricks },
    volumeOptions({ hosts, tls: false, brickBytes: SIZE / SETS }),
  );
  await cluster.start(NAME);
  const [a, b] = lab.nodes as [GlusterNode, GlusterNode];
  clients = [
    { node: a, at: await a.mount(NAME) },
    { node: b, at: await b.mount(NAME) },
  ];
}, 60_000);
afterAll(async () => {
  const before = lab?.nodes.map(({ node }) => node.stateDir) ?? [];
  await lab?.close();
  await until('the kernel has let go of the bricks', () =>
    loopsInUse().every(({ file }) => before.every((directory) => !file.startsWith(directory))),
  );
});

interface Df {
  readonly total: number;
  readonly free: number;
}

async function df({ node, at }: (typeof clients)[number]): Promise<Df> {
  const [size = 0, blocks = 0, free = 0] = (await node.sh('stat -f -c "%S %b %a" "$1"', at))
    .split(' ')
    .map(Number);
  return { total: size * blocks, free: size * free };
}

const REFUSAL = /No space left on device/;

/** Writes files from several clients at once, until each writer is refused. @returns bytes written */
async function fill(names: readonly string[]): Promise<number> {
  const told = await Promise.all(
    names.map(async (name, index) => {
      const { node, at } = clients[index % clients.length]!;
      return (await node.tryInside(['dd', 'if=/dev/zero', `of=${at}/${name}`, 'bs=128k'], 120_000)).stderr;
    }),
  );
  for (const said of told) expect(said).toMatch(REFUSAL);
  const [{ node, at } = clients[0]!] = clients;
  const sizes = await Promise.all(names.map((name) => node.sh('stat -c %s "$1"', `${at}/${name}`)));
  return sizes.reduce((sum, size) => sum + Number(size), 0);
}

const report = (what: string, written: number, size: number): void => {
  const over = Math.max(written - size, 0);
  const share = ((100 * written) / size).toFixed(1);
  process.stdout.write(`${what}: ${written} of ${size} bytes written (${share} %), ${over} too many\n`);
};

describe('a volume on bricks of a fixed size', () => {
  it('shows its size where it is mounted', async () => {
    for (const client of clients) {
      const { total, free } = await df(client);
      process.stdout.write(`df of ${SIZE} bytes: ${total} in all, ${free} available\n`);
      // What is missing is kept for names, and what Gluster has made.
      expect(free).toBeGreaterThan(SIZE * 0.98);
      expect(free).toBeLessThanOrEqual(SIZE);
      expect(total).toBe(SIZE);
    }
  });

  it('is full for four writers on two nodes, and takes nothing beyond its size', async () => {
    const names = ['w1', 'w2', 'w3', 'w4'];
    const written = await fill(names);
    report('four writers', written, SIZE);
    expect(written).toBeLessThanOrEqual(SIZE);
    // They run side by side, and each ends when a piece of its own finds no room.
    expect(written).toBeGreaterThan(SIZE * LEAST);
  });

  it('keeps all its bricks while it is full, and goes on changing what is there', async () => {
    const { node, at } = clients[0]!;
    await node.sh('dd if=/dev/urandom of="$1/w1" bs=128k count=16 conv=notrunc,fsync', at);
    expect((await node.cluster.status(NAME)).filter(({ online }) => !online)).toEqual([]);
  });

  it('can be emptied when it is full', async () => {
    const { node, at } = clients[0]!;
    await node.sh('cd "$1" && rm w?', at);
    await until('the room is given back', async () => (await df(clients[0]!)).free > SIZE * 0.95);
    // Gluster places new pieces by what it knew of the sets up to two seconds ago, and looks when something is made.
    const enough = performance.now() + 2_200;
    await until('the client has looked', async () => {
      await node.sh('touch "$1/new" && rm "$1/new"', at);
      return performance.now() > enough;
    });
  });

  it('can be used by one file alone', async () => {
    const written = await fill(['one']);
    report('one file', written, SIZE);
    expect(written).toBeLessThanOrEqual(SIZE);
    expect(written).toBeGreaterThan(SIZE * LEAST);
  });

  it('grows while it is full, as its clients see, and takes more then', async () => {
    const [first, second] = clients as [(typeof clients)[number], (typeof clients)[number]];
    const before = await df(second);
    await ensureBricks(GROWN);
    await until('the client sees it', async () => (await df(second)).total >= before.total + GROWN - SIZE);
    const sum = 'sha256sum <"$1"';
    const was = await first.node.sh(sum, `${first.at}/one`);
    await second.node.sh('dd if=/dev/zero of="$1/more" bs=1M count=32 conv=fsync', second.at);
    expect(await second.node.sh(sum, `${second.at}/one`)).toBe(was);
  });

  it('leaves nothing when it is removed', async () => {
    for (const { node, at } of clients) await node.unmount(at);
    const { cluster } = lab.nodes[0]!;
    await cluster.stop(NAME);
    await cluster.delete(NAME);
    await Promise.all(NODES.map((name, index) => keepers.get(name)!.remove(ID, index)));
    for (const { node, daemon } of lab.nodes) {
      expect(readdirSync(`${node.stateDir}/pool`)).toEqual([]);
      expect(await nodeOf(node.name).sh('ls "$1"', daemon.brickRoot)).toBe('');
      expect(loopsInUse().filter(({ file }) => file.startsWith(node.stateDir))).toEqual([]);
    }
  });
});
