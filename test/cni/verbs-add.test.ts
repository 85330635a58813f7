/** ADD, CHECK and DEL of every kind of configuration, by the built plugin on a real node. Needs root. */
import type { Endpoint } from '../../model/endpoint.ts';
import { PORTS, WISHES } from './verbs-cases-capabilities.ts';
import { CHAINS, NAMES, SIDES, VERSIONS } from './verbs-cases-network.ts';
import {
  type CniResult,
  inside,
  openVerbsLab,
  residue,
  routesIn,
  type VerbsLab,
  type Wish,
} from './verbs-lab.ts';

let verbs: VerbsLab;
beforeAll(async () => {
  verbs = await openVerbsLab('verbsadd');
});
afterAll(() => verbs?.lab.close());

describe.each([
  ['version', VERSIONS],
  ['sides', SIDES],
  ['names and tenants', NAMES],
  ['published ports', PORTS],
  ['capabilities', WISHES],
  ['chain', CHAINS],
])('%s', (_, cases) => {
  it.each(cases)('%s', async (_name, wish, expected) => {
    const before = await residue(verbs.node);
    const sandbox = await verbs.sandbox();
    const result = await verbs.done('ADD', sandbox, wish);
    if (expected.result) expect(result).toMatchObject(expected.result);

    const [endpoint] = await verbs.recorded(sandbox);
    expect(endpoint).toMatchObject({ ...expected.record, containerId: sandbox.id });
    await expectKernel(sandbox, endpoint!, result);
    if (expected.routes) expect(await routesIn(sandbox)).toEqual(expected.routes);
    const address = endpoint!.nics.find((nic) => nic.side === 'external')?.address ?? '';
    const opened = (expected.published ?? []).map((word) => word.replace('ADDRESS', address));
    expect((await residue(verbs.node)).published).toEqual(opened);

    await verbs.done('CHECK', sandbox, { ...wish, conf: { ...wish.conf, prevResult: result } });
    await verbs.done('DEL', sandbox, wish);
    expect(await residue(verbs.node)).toEqual(before);
    expect(await inside(sandbox)).toEqual([]);
  });
});

/** What the container has is what it was told. */
async function expectKernel(
  sandbox: Parameters<typeof inside>[0],
  { nics }: Endpoint,
  result: CniResult,
): Promise<void> {
  const links = await inside(sandbox);
  expect(links.map(({ ifname }) => ifname).sort()).toEqual(nics.map(({ ifName }) => ifName as string).sort());
  for (const { ifname, address, operstate, mtu, addr_info } of links) {
    const index = result.interfaces.findIndex(
      ({ name, sandbox: where }) => name === ifname && where === sandbox.netns,
    );
    const told = result.interfaces[index];
    const addresses = result.ips.filter((ip) => ip.interface === index).map((ip) => ip.address);
    expect({ address, operstate, mtu: told?.mtu && mtu }).toEqual({
      address: told?.mac,
      operstate: 'UP',
      mtu: told?.mtu,
    });
    expect(
      addr_info
        .filter(({ family }) => family === 'inet')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    ).toEqual(addresses);
  }
}

describe('IPv6 inside', () => {
  it.each([
    ['off', {}, []],
    ['left on where the network says so', { ipv6: true }, ['inet6']],
  ])('is %s', async (_, conf, families) => {
    const sandbox = await verbs.sandbox();
    await verbs.done('ADD', sandbox, { conf });
    const seen = (await inside(sandbox)).map(({ addr_info }) =>
      addr_info.map(({ family }) => family).filter((family) => family !== 'inet'),
    );
    expect(seen).toEqual([families, families]);
    await verbs.done('CHECK', sandbox, { conf });
    await verbs.done('DEL', sandbox);
  });
});

describe('a sticky network', () => {
  it('gives a container that comes back under its name the addresses it had, and nobody else', async () => {
    const wish: Wish = { conf: { sticky: true }, args: 'SLUICE_NAME=sticky' };
    const first = await verbs.sandbox();
    const { ips } = await verbs.done('ADD', first, wish);
    await verbs.done('DEL', first, wish);
    const thief = await verbs.sandbox();
    const address = ips[0]?.address ?? '';
    expect(await verbs.cni('ADD', thief, { runtimeConfig: { ips: [address] } })).toMatchObject({
      code: 1,
      json: { code: 101 },
    });
    const again = await verbs.sandbox();
    expect((await verbs.done('ADD', again, wish)).ips).toEqual(ips);
    await verbs.done('DEL', again, wish);
    expect((await verbs.node.sluice(['endpoint', 'release', 'blue', 'sticky', '--yes'])).code).toBe(0);
  });
});
