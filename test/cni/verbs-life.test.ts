/** ADD and DEL repeated, out of order, and at once, by the built plugin on a real node. Needs root. */
import { run } from '../../linux/process.ts';
import {
  cniErrorOf,
  inside,
  openVerbsLab,
  residue,
  type Sandbox,
  type VerbsLab,
  type Wish,
} from './verbs-lab.ts';

let verbs: VerbsLab;
beforeAll(async () => {
  verbs = await openVerbsLab('verbslif');
});
afterAll(() => verbs?.lab.close());

const DONE = { code: 0, json: undefined };
const published: Wish = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
const sandboxes = (count: number): Promise<Sandbox[]> => Promise.all(times(count, () => verbs.sandbox()));
const deleteNetns = ({ namespace }: Sandbox) => run(['ip', 'netns', 'delete', namespace]);

/** Whatever a case does, the node is afterwards as it was before. */
let before: Awaited<ReturnType<typeof residue>>;
beforeEach(async () => {
  before = await residue(verbs.node);
});
afterEach(async () => {
  expect(await residue(verbs.node)).toEqual(before);
});

describe('ADD again', () => {
  it('is refused, and the container keeps what it has', async () => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox, published);
    const once = await residue(verbs.node);
    expect(await verbs.cni('ADD', sandbox, published)).toEqual(cniErrorOf(105, sandbox.id));
    expect(await residue(verbs.node)).toEqual(once);
    await verbs.done('CHECK', sandbox, published);
    await verbs.done('DEL', sandbox);
  });

  it('works after DEL, in the same namespace', async () => {
    const sandbox = await verbs.sandbox();
    for (let round = 0; round < 3; round++) {
      await verbs.done('ADD', sandbox, published);
      await verbs.done('CHECK', sandbox, published);
      await verbs.done('DEL', sandbox);
    }
  });

  it('works without DEL when the container has died with its namespace', async () => {
    const { namespace, id, netns } = await verbs.sandbox();
    await verbs.done('ADD', { id, netns }, published);
    await run(['ip', 'netns', 'delete', namespace]);
    await run(['ip', 'netns', 'add', namespace]);
    await verbs.done('ADD', { id, netns }, published);
    await verbs.done('CHECK', { id, netns }, published);
    await verbs.done('DEL', { id, netns });
  });

  it('under another CNI_IFNAME gives the container a second attachment', async () => {
    const sandbox = await verbs.sandbox();
    const second: Wish = { ifname: 'net1', conf: { name: 'second', internal: { interface: 'lan1' } } };
    await verbs.done('ADD', sandbox);
    await verbs.done('ADD', sandbox, { ...second, conf: { ...second.conf, external: null } });
    expect((await inside(sandbox)).map(({ ifname }) => ifname).sort()).toEqual(['eth0', 'eth1', 'net1']);
    await verbs.done('DEL', sandbox, second);
    await verbs.done('CHECK', sandbox);
    await verbs.done('DEL', sandbox);
  });

  it('that fails half-way, because a name inside is taken, leaves the namespace as it was', async () => {
    const sandbox = await verbs.sandbox();
    await run(['ip', '-n', sandbox.namespace, 'link', 'add', 'eth1', 'type', 'bridge']);
    expect(await verbs.cni('ADD', sandbox, published)).toEqual(
      cniErrorOf(5, 'eth1 in the container: EEXIST'),
    );
    expect((await inside(sandbox)).map(({ ifname }) => ifname)).toEqual(['eth1']);
  });
});

describe('DEL', () => {
  it('twice succeeds twice', async () => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox, published);
    expect(await verbs.cni('DEL', sandbox)).toEqual(DONE);
    expect(await verbs.cni('DEL', sandbox)).toEqual(DONE);
  });

  it.each<[string, Partial<Sandbox>]>([
    ['before any ADD', { id: 'never-added', netns: '/run/netns/verbslif.never' }],
    ['of an unknown container, without a namespace', { id: 'unknown' }],
  ])('%s succeeds', async (_, sandbox) => {
    expect(await verbs.cni('DEL', sandbox)).toEqual(DONE);
  });

  it('without CNI_NETNS takes everything away', async () => {
    const { id, netns, namespace } = await verbs.sandbox();
    await verbs.done('ADD', { id, netns }, published);
    expect(await verbs.cni('DEL', { id })).toEqual(DONE);
    expect(await inside({ id, netns, namespace })).toEqual([]);
  });

  it('takes everything away when the namespace is gone', async () => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox, published);
    await deleteNetns(sandbox);
    expect(await verbs.cni('DEL', sandbox)).toEqual(DONE);
  });

  it('takes everything away when somebody has deleted the links before', async () => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox, published);
    for (const { ifname } of await inside(sandbox))
      await run(['ip', '-n', sandbox.namespace, 'link', 'delete', ifname]);
    expect(await verbs.cni('DEL', sandbox)).toEqual(DONE);
  });

  it.each([
    ['with a configuration that ADD refuses', { tennant: 'x', internal: null, external: null }],
    ['in another cniVersion than its ADD', { cniVersion: '0.4.0' }],
    ['without the tenant', { tenant: undefined }],
  ])('%s succeeds', async (_, conf) => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox);
    expect(await verbs.cni('DEL', sandbox, { conf })).toEqual(DONE);
  });

  it('of one container leaves another one alone', async () => {
    const [one, other] = (await sandboxes(2)) as [Sandbox, Sandbox];
    await verbs.done('ADD', one, published);
    await verbs.done('ADD', other);
    await verbs.done('DEL', other);
    await verbs.done('CHECK', one, published);
    await verbs.done('DEL', one);
  });
});

describe('at once', () => {
  it('of two ADDs of one container exactly one wins', async () => {
    const sandbox = await verbs.sandbox();
    const outcomes = await Promise.all(times(2, () => verbs.cni('ADD', sandbox, published)));
    expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 1]);
    expect(outcomes.find(({ code }) => code === 1)).toEqual(cniErrorOf(105, sandbox.id));
    await verbs.done('CHECK', sandbox, published);
    await verbs.done('DEL', sandbox);
  });

  it('16 ADDs of 16 containers get 32 addresses', async () => {
    const all = await sandboxes(16);
    const results = await Promise.all(all.map((sandbox) => verbs.done('ADD', sandbox)));
    const addresses = results.flatMap(({ ips }) => ips.map(({ address }) => address));
    expect(new Set(addresses).size).toBe(32);
    await Promise.all(all.map((sandbox) => verbs.done('CHECK', sandbox)));
    await Promise.all(all.map((sandbox) => verbs.done('DEL', sandbox)));
  });

  it.each<[string, Wish, number]>([
    ['one port', published, 102],
    ['one address', { runtimeConfig: { ips: ['10.64.1.77'] } }, 101],
  ])('of 8 ADDs that want %s exactly one wins', async (_, wish, code) => {
    const all = await sandboxes(8);
    const outcomes = await Promise.all(all.map((sandbox) => verbs.cni('ADD', sandbox, wish)));
    const losers = outcomes.filter((outcome) => outcome.code !== 0);
    expect(losers).toEqual(times(7, () => cniErrorOf(code, /8080|10\.64\.1\.77/)));
    await Promise.all(all.map((sandbox) => verbs.done('DEL', sandbox)));
  });

  it('ADD and DEL of one container leave it whole or gone', async () => {
    for (const sandbox of await sandboxes(6)) {
      const [added, deleted] = await Promise.all([
        verbs.cni('ADD', sandbox, published),
        verbs.cni('DEL', sandbox),
      ]);
      expect([added.code, deleted]).toEqual([0, DONE]);
      const [endpoint] = await verbs.recorded(sandbox);
      if (endpoint === undefined) expect(await inside(sandbox)).toEqual([]);
      else await verbs.done('CHECK', sandbox, published);
      await verbs.done('DEL', sandbox);
    }
  });

  it('ADDs of some and DELs of others do not disturb each other', async () => {
    const [old, young] = [await sandboxes(6), await sandboxes(6)];
    await Promise.all(old.map((sandbox) => verbs.done('ADD', sandbox)));
    await Promise.all([
      ...young.map((one) => verbs.done('ADD', one)),
      ...old.map((one) => verbs.done('DEL', one)),
    ]);
    await Promise.all(young.map((sandbox) => verbs.done('CHECK', sandbox)));
    await Promise.all(young.map((sandbox) => verbs.done('DEL', sandbox)));
  });
});
