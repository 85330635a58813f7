/** GC, STATUS and VERSION by the built plugin on a real node. Needs root. */
import { run } from '../../linux/process.ts';
import {
  cniErrorOf,
  confText,
  endpointsOf,
  inside,
  openVerbsLab,
  rawCall,
  residue,
  type Sandbox,
  type VerbsLab,
  type Wish,
} from './verbs-lab.ts';

let verbs: VerbsLab;
beforeAll(async () => {
  verbs = await openVerbsLab('verbsgc');
});
afterAll(() => verbs?.lab.close());

const DONE = { code: 0, json: undefined };
const published: Wish = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
const sandboxes = (count: number): Promise<Sandbox[]> =>
  Promise.all(Array.from({ length: count }, () => verbs.sandbox()));
const deleteNetns = ({ namespace }: Sandbox) => run(['ip', 'netns', 'delete', namespace]);

/** Whatever a case does, the node is afterwards as it was before. */
let before: Awaited<ReturnType<typeof residue>>;
beforeEach(async () => {
  before = await residue(verbs.node);
});
afterEach(async () => {
  expect(await residue(verbs.node)).toEqual(before);
});

describe('GC', () => {
  const valid = (...list: Sandbox[]) => ({
    conf: { 'cni.dev/valid-attachments': list.map(({ id }) => ({ containerID: id, ifname: 'eth0' })) },
  });
  const live = async () =>
    (await endpointsOf(verbs.node)).map(({ containerId }) => containerId as string).sort();

  it('removes what the runtime does not name, keeps the rest, and does not touch another network', async () => {
    const [kept, leaked, vanished, foreign] = (await sandboxes(4)) as [Sandbox, Sandbox, Sandbox, Sandbox];
    await verbs.done('ADD', kept);
    await verbs.done('ADD', leaked, published);
    await verbs.done('ADD', vanished);
    await verbs.done('ADD', foreign, { conf: { name: 'other' } });
    await deleteNetns(vanished);
    expect(await verbs.cni('GC', {}, valid(kept))).toEqual(DONE);
    expect(await live()).toEqual([kept.id, foreign.id].sort());
    expect(await inside(leaked)).toEqual([]);
    await verbs.done('CHECK', kept);
    await verbs.done('CHECK', foreign, { conf: { name: 'other' } });
    expect(await verbs.cni('GC', {}, valid(kept))).toEqual(DONE);
    await verbs.done('DEL', kept);
    await verbs.done('DEL', foreign, { conf: { name: 'other' } });
  });

  it('without any attachment to keep removes all of the network, and takes null for none', async () => {
    const [one, two] = (await sandboxes(2)) as [Sandbox, Sandbox];
    await verbs.done('ADD', one);
    expect(await verbs.cni('GC', {}, valid())).toEqual(DONE);
    await verbs.done('ADD', two);
    expect(await verbs.cni('GC', {}, { conf: { 'cni.dev/valid-attachments': null } })).toEqual(DONE);
    expect(await live()).toEqual([]);
  });

  it.each([
    ['without its list', {}, 7, /valid-attachments/],
    ['with a list that is none', { 'cni.dev/valid-attachments': 'all' }, 7, /valid-attachments/],
    [
      'with an id that cannot be read',
      { 'cni.dev/valid-attachments': [{ containerID: '../x', ifname: 'eth0' }] },
      7,
      /valid-attachments/,
    ],
    [
      'in 1.0.0, which has none',
      { cniVersion: '1.0.0', 'cni.dev/valid-attachments': [] },
      1,
      /GC does not exist/,
    ],
  ])('%s is refused and removes nothing', async (_, conf, code, message) => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox);
    const version = 'cniVersion' in conf ? conf.cniVersion : '1.1.0';
    expect(await verbs.cni('GC', {}, { conf })).toEqual(cniErrorOf(code, message, version));
    await verbs.done('CHECK', sandbox);
    await verbs.done('DEL', sandbox);
  });
});

describe('STATUS and VERSION', () => {
  it('STATUS says nothing when all is well', async () => {
    expect(await verbs.cni('STATUS', {})).toEqual(DONE);
  });

  it.each([
    ['the uplink', 'up0', ['ip', 'route', 'add', 'default', 'via', '192.0.2.254']],
    ['a bridge', 'si-a', ['true']],
  ])('STATUS is 51 while %s is down', async (_, link, afterwards) => {
    await verbs.node.exec(['ip', 'link', 'set', link, 'down']);
    const outcome = await verbs.cni('STATUS', {});
    await verbs.node.exec(['ip', 'link', 'set', link, 'up']);
    await verbs.node.exec(afterwards as [string, ...string[]]);
    expect(outcome).toEqual(cniErrorOf(51, link));
    expect(await verbs.cni('STATUS', {})).toEqual(DONE);
  });

  it('STATUS in 1.0.0, which has none, is refused', async () => {
    const outcome = await verbs.cni('STATUS', {}, { conf: { cniVersion: '1.0.0' } });
    expect(outcome).toEqual(cniErrorOf(1, 'STATUS does not exist', '1.0.0'));
  });

  it('VERSION names what is spoken', async () => {
    expect(await rawCall(verbs, { CNI_COMMAND: 'VERSION' }, confText(verbs))).toEqual({
      code: 0,
      json: { cniVersion: '1.1.0', supportedVersions: ['0.4.0', '1.0.0', '1.1.0'] },
    });
  });

  it('with the daemons stopped: STATUS 50, ADD and DEL 11; and the containers stay as they are', async () => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox);
    await verbs.node.stop();
    expect(await verbs.cni('STATUS', {})).toEqual(cniErrorOf(50, 'netd'));
    for (const verb of ['ADD', 'DEL', 'CHECK'] as const)
      expect(await verbs.cni(verb, sandbox)).toEqual(cniErrorOf(11, 'netd'));
    expect(await inside(sandbox)).toHaveLength(2);
    await verbs.node.start({ listen: '192.0.2.1:7070' });
    await verbs.done('CHECK', sandbox);
    await verbs.done('DEL', sandbox);
  });
});
