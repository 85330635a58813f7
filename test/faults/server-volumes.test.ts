/** A server that is killed in any phase of a volume: what was begun comes to its end, and no half-made volume remains. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { registerNode } from '../../linux/join.ts';
import { type Daemon, startDaemon } from '../../linux/process.ts';
import type { NodeName } from '../../model/names.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { uplink } from '../server-world.ts';
import { GIB, StorageFabric, StorageNode } from '../support/storage-node.ts';
import { answered, report as line } from './crashes.ts';

const NAMES = ['a', 'b', 'c'];
const WISH = { tenant: 'blue', name: 'shared', sizeBytes: 10 * GIB };

let directory: string;
let client: ApiClient;
let daemon: Daemon;
let nodes: StorageNode[];

const env = (): NodeJS.ProcessEnv => ({
  ...process.env,
  SLUICE_RUN_DIR: path.join(directory, 'run'),
  SLUICE_STATE_DIR: path.join(directory, 'state'),
  SLUICE_FAIL_POINTS: path.join(directory, 'die'),
});

async function start(): Promise<void> {
  daemon = await startDaemon([thisCheckout().sluice, 'server'], { env: env() });
  await answered(() => client.request('GET', '/v1/status'));
}

/** A daemon follows again when its server is back, and goes on with what it has. */
async function startAgain(): Promise<void> {
  expect(await daemon.exited).toBe(137);
  for (const node of nodes) await node.stop().catch(() => undefined);
  await start();
  for (const node of nodes) await node.follow();
}

const volumes = async (): Promise<VolumeShown[]> =>
  ((await client.request('GET', '/v1/volumes?all=1')) as { items: VolumeShown[] }).items;
const create = (): Promise<unknown> => client.request('POST', '/v1/volumes?waitMs=5000', WISH);
const theOne = async (): Promise<VolumeShown> => {
  const [one] = await volumes();
  if (one === undefined) throw new Error('there is no volume');
  return one;
};
const bricks = (): unknown[] => nodes.flatMap((node) => node.bricks);
const nothingLeft = async (): Promise<void> => {
  await answered(volumes, (all) => all.length === 0);
  expect(bricks()).toEqual([]);
};

/** What is going on when the server dies, and what must have come of it when it is back. */
interface Death {
  readonly point: string;
  /** Leads there; its own answer is lost with the server. */
  readonly act: () => Promise<unknown>;
  /** Before it is back. */
  readonly meanwhile?: () => void;
  readonly after: () => Promise<void>;
}

const ready = async (): Promise<void> => {
  await answered(theOne, ({ volume, settled }) => volume.phase === 'ready' && settled);
  expect(bricks()).toHaveLength(6);
};
const made = async (): Promise<VolumeShown> => (await create()) as VolumeShown;
const deleteNow = async (): Promise<unknown> =>
  client.request('DELETE', `/v1/volumes/${(await made()).volume.id}?now=1&waitMs=5000`);
const deleteKept = async (): Promise<unknown> =>
  client.request('DELETE', `/v1/volumes/${(await made()).volume.id}?waitMs=5000`);
const grow = async (): Promise<unknown> =>
  client.request('POST', `/v1/volumes/${(await made()).volume.id}/resize?waitMs=5000`, {
    sizeBytes: 20 * GIB,
  });
const failing = (act: () => Promise<unknown>) => async (): Promise<unknown> => {
  nodes[1]!.brickFails = 'no space left on device';
  return act();
};

const DEATHS: readonly Death[] = [
  { point: 'volume:created', act: create, after: ready },
  { point: 'volume:ready:before', act: create, after: ready },
  { point: 'volume:ready', act: create, after: ready },
  { point: 'volume:removing:before', act: failing(create), after: nothingLeft },
  { point: 'volume:removing', act: failing(create), after: nothingLeft },
  { point: 'volume:gone:before', act: failing(create), after: nothingLeft },
  { point: 'volume:gone', act: deleteNow, after: nothingLeft },
  {
    point: 'volume:deleted',
    act: deleteKept,
    after: async () => {
      const { volume } = await answered(theOne, ({ settled }) => settled);
      expect([volume.phase, volume.removeAt === null]).toEqual(['deleted', false]);
      await client.request('POST', `/v1/volumes/${volume.id}/undelete?waitMs=5000`);
      await ready();
    },
  },
  { point: 'volume:resized', act: grow, after: async () => grownTo(20) },
  { point: 'volume:grown:before', act: grow, after: async () => grownTo(20) },
  {
    point: 'volume:resized',
    act: grow,
    meanwhile: () => {
      nodes[1]!.brickFails = 'no space left on device';
    },
    after: async () => grownTo(10),
  },
];

async function grownTo(gib: number): Promise<void> {
  const isSo = ({ volume, settled }: VolumeShown): boolean => settled && volume.sizeBytes === gib * GIB;
  await answered(theOne, isSo);
  await ready();
}

beforeEach(async () => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-volumes-'));
  client = localClient(path.join(directory, 'run', 'server.sock'));
  nodes = [];
  await start();
  await client.request('POST', '/v1/tenants', { tenant: 'blue' });
  const fabric = new StorageFabric();
  for (const [i, name] of NAMES.entries()) {
    await registerNode(client, name as NodeName, uplink(i + 1));
    nodes.push(new StorageNode(client, name, uplink(i + 1), fabric));
  }
  for (const node of nodes) await node.follow();
});

afterEach(async () => {
  for (const node of nodes) await node.stop().catch(() => undefined);
  await daemon.stop();
  client.close();
  rmSync(directory, { recursive: true });
});

describe('a server killed in the midst of a volume', () => {
  afterAll(() => line('server killed, phases of volumes', DEATHS.length, survived));
  let survived = 0;

  it.each(DEATHS)('at $point: it goes on from there', async ({ point, act, meanwhile, after }) => {
    writeFileSync(path.join(directory, 'die'), point);
    await expect(act()).rejects.toBeDefined();
    meanwhile?.();
    await startAgain();
    await after();
    survived += 1;
  });
});
