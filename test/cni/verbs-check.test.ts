/** CHECK finds every kind of drift, a reconciliation repairs it, and CHECK passes again. Needs root. */
import { deleteFromMap, lookupMap, updateMap } from '../../linux/bpf.ts';
import { run } from '../../linux/process.ts';
import type { Endpoint, Nic, Side } from '../../model/endpoint.ts';
import { tableName } from '../../netd/names.ts';
import { indexKey } from '../../tagqueue/maps.ts';
import { pinDirectoryOf, requireMap } from '../../tagqueue/pins.ts';
import {
  askNetd,
  type CniResult,
  cniErrorOf,
  openVerbsLab,
  type Residue,
  residue,
  type Sandbox,
  type VerbsLab,
} from './verbs-lab.ts';

const WISH = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
const DRIFT = 108;

let verbs: VerbsLab;
let container: Sandbox;
let peer: Sandbox;
let result: CniResult;
let endpoint: Endpoint;
let whole: Residue;

beforeAll(async () => {
  verbs = await openVerbsLab('verbschk');
  container = await verbs.sandbox();
  peer = await verbs.sandbox();
  result = await verbs.done('ADD', container, WISH);
  await verbs.done('ADD', peer);
  endpoint = (await verbs.recorded(container))[0]!;
  whole = await residue(verbs.node);
});
afterAll(() => verbs?.lab.close());

const nic = (side: Side): Nic => endpoint.nics.find((one) => one.side === side)!;
const within = (...args: string[]) => run(['ip', '-n', container.namespace, ...args]);
const onNode = (...args: string[]) => verbs.node.exec(args as [string, ...string[]]);

/** Changes the entry of a host end in the fence's map. */
async function changeBinding(side: Side, change: (value: Buffer) => Buffer | undefined): Promise<void> {
  const [link] = JSON.parse(await onNode('ip', '-j', 'link', 'show', nic(side).hostIf)) as {
    ifindex: number;
  }[];
  using ports = requireMap(pinDirectoryOf(verbs.node.runDir, verbs.node.name), 'ports_by_index');
  const key = indexKey(link!.ifindex);
  const changed = change(lookupMap(ports, key)!);
  if (changed === undefined) deleteFromMap(ports, key);
  else updateMap(ports, key, changed);
}

const DRIFTS: [string, () => Promise<unknown>, RegExp][] = [
  ['the internal interface down inside', () => within('link', 'set', 'eth1', 'down'), /eth1 is down/],
  ['the external interface down inside', () => within('link', 'set', 'eth0', 'down'), /eth0 is down/],
  ['an address removed inside', () => within('addr', 'flush', 'dev', 'eth1'), /eth1 lacks address/],
  [
    'an address with another prefix',
    async () => {
      await within('addr', 'flush', 'dev', 'eth1');
      await within('addr', 'add', `${nic('internal').address}/32`, 'dev', 'eth1');
    },
    /eth1 lacks address/,
  ],
  ['the default route removed', () => within('route', 'delete', 'default'), /route to default/],
  [
    "the route to the tenant's other containers removed",
    () => within('route', 'delete', '10.64.0.0/12'),
    /route to 10\.64\.0\.0\/12/,
  ],
  [
    'the MAC changed inside',
    () => within('link', 'set', 'eth1', 'address', '02:00:00:00:00:99'),
    /eth1 has MAC 02:00:00:00:00:99/,
  ],
  ['an interface deleted inside', () => within('link', 'delete', 'eth1'), /is missing/],
  [
    'an interface deleted on the node',
    () => onNode('ip', 'link', 'delete', nic('external').hostIf),
    /is missing/,
  ],
  [
    'the host end off its bridge',
    () => onNode('ip', 'link', 'set', nic('internal').hostIf, 'nomaster'),
    /not a port of its bridge/,
  ],
  [
    'the host end on the other bridge',
    () => onNode('ip', 'link', 'set', nic('internal').hostIf, 'master', 'se-a'),
    /not a port of its bridge/,
  ],
  ['the host end down', () => onNode('ip', 'link', 'set', nic('internal').hostIf, 'down'), /is down/],
  [
    'the host end with another MTU',
    () => onNode('ip', 'link', 'set', nic('internal').hostIf, 'mtu', '1400'),
    /has MTU 1400/,
  ],
  [
    "the container's MAC forgotten by the node",
    () => onNode('ip', 'neigh', 'delete', nic('internal').address, 'dev', 'si-a'),
    /does not know the MAC/,
  ],
  [
    "the container's port forgotten by the bridge",
    () => onNode('bridge', 'fdb', 'delete', nic('internal').mac, 'dev', nic('internal').hostIf, 'master'),
    /bridge does not know the port/,
  ],
  [
    "the fence's program detached from what comes out",
    () => onNode('tc', 'filter', 'delete', 'dev', nic('internal').hostIf, 'ingress'),
    /lacks the fence/,
  ],
  [
    "the fence's program detached from what goes in",
    () => onNode('tc', 'filter', 'delete', 'dev', nic('internal').hostIf, 'egress'),
    /lacks the fence/,
  ],
  [
    "both of the fence's programs detached",
    () => onNode('tc', 'qdisc', 'delete', 'dev', nic('external').hostIf, 'clsact'),
    /lacks the fence/,
  ],
  [
    "the binding deleted from the fence's map",
    () => changeBinding('internal', () => undefined),
    /not bound to tenant blue/,
  ],
  [
    'the binding changed to another tenant',
    () =>
      changeBinding('internal', (value) => {
        value.writeUInt32LE(value.readUInt32LE(0) + 1, 0);
        return value;
      }),
    /not bound to tenant blue/,
  ],
  [
    'the published port deleted from nftables',
    () => onNode('nft', 'delete', 'element', 'ip', tableName(verbs.node.name), 'ports_any', '{ tcp . 8080 }'),
    /tcp port 8080/,
  ],
  [
    'the whole table deleted from nftables',
    () => onNode('nft', 'delete', 'table', 'ip', tableName(verbs.node.name)),
    /tcp port 8080/,
  ],
];

describe('CHECK finds', () => {
  it.each(DRIFTS)('%s; a reconciliation repairs it', async (_, spoil, message) => {
    await verbs.done('CHECK', container, WISH);
    await spoil();
    expect(await verbs.cni('CHECK', container, WISH)).toEqual(cniErrorOf(DRIFT, message));

    const report = await askNetd<{ repaired: string[] }>(verbs.node, 'POST', '/v1/reconcile');
    expect(report).toMatchObject({ removed: [], failed: [] });
    expect(report.repaired).not.toEqual([]);
    await verbs.done('CHECK', container, { ...WISH, conf: { prevResult: result } });
    const now = await residue(verbs.node);
    // A pair that was made anew has another index.
    expect({ ...now, bindings: now.bindings.map(addressOfBinding).sort() }).toEqual({
      ...whole,
      bindings: whole.bindings.map(addressOfBinding).sort(),
    });
    expect(await reachesPeer()).toBe(true);
  });

  it.each([
    ['an interface', { interfaces: [], ips: [] }, /prevResult lacks interface eth0/],
    ['an address', { ips: [] }, /prevResult lacks address .* of eth0/],
  ])('%s of ours missing in the final result of the chain', async (_, less, message) => {
    const prevResult = { ...result, ...less };
    expect(await verbs.cni('CHECK', container, { ...WISH, conf: { prevResult } })).toEqual(
      cniErrorOf(DRIFT, message),
    );
  });
});

it('rules that somebody flushed are written anew, although no endpoint misses them', async () => {
  const table = tableName(verbs.node.name);
  const rules = (): Promise<string> => onNode('nft', 'list', 'table', 'ip', table);
  const before = await rules();
  await onNode('nft', 'flush', 'table', 'ip', table);
  expect(await rules()).not.toEqual(before);
  const report = await askNetd<{ repaired: string[] }>(verbs.node, 'POST', '/v1/reconcile');
  expect(report.repaired).toEqual(['node: table']);
  expect(await rules()).toEqual(before);
});

it('a container that nobody touched was left alone by all that', async () => {
  await verbs.done('CHECK', peer);
});

const addressOfBinding = (binding: string): string => binding.slice(binding.indexOf(' ') + 1);

/** Over the internal bridge, so through both containers' ports. */
async function reachesPeer(): Promise<boolean> {
  const [other] = await verbs.recorded(peer);
  const address = other!.nics.find(({ side }) => side === 'internal')!.address;
  const ping = ['ip', 'netns', 'exec', container.namespace, 'ping', '-c', '1', '-W', '2', address] as const;
  return (await run(ping)).code === 0;
}
