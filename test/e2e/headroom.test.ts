/** Containers leave room before their packets for what the uplink puts there, thanks to a device that does nothing else. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { cString, NETLINK_ROUTE, openNetlink, parseAttributes } from '../../linux/netlink.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { run } from '../../linux/process.ts';
import { CARRIER_ROOM } from '../../model/carrier.ts';

/** linux/if_link.h and linux/rtnetlink.h; the kernel tells the room since Linux 6.18. */
const [RTM_GETLINK, IFINFO_BYTES, IFLA_IFNAME, IFLA_HEADROOM] = [18, 16, 3, 68];

let lab: Lab;
let node: LabNode;
let container: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'troom', nodes: ['a'] });
  await lab.start();
  await lab.tenant('blue');
  node = lab.node('a');
  container = await lab.container('a', 'blue', 'sender');
});
afterAll(() => lab?.close());

/** Bytes, by interface. */
async function headrooms(netnsPath: string): Promise<ReadonlyMap<string, number>> {
  using netns = openNetns(netnsPath);
  const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  try {
    const links = await route.dump('list the links', RTM_GETLINK, Buffer.alloc(IFINFO_BYTES));
    return new Map(
      links
        .map((link) => parseAttributes(link.subarray(IFINFO_BYTES)))
        .map((link) => [cString(link.get(IFLA_IFNAME)!), link.get(IFLA_HEADROOM)!.readUInt16LE(0)]),
    );
  } finally {
    route.close();
  }
}

const isUp = async (): Promise<boolean> =>
  /<.*\bUP\b.*>/.test(await node.exec(['ip', '-o', 'link', 'show', 'sh-a']));

describe('the headroom device', () => {
  it('makes containers leave room for the roomier carrier on their internal interface', async () => {
    const room = await headrooms(container.netns);
    expect(room.get('eth1')).toBeGreaterThanOrEqual(CARRIER_ROOM);
    expect(room.get('eth0')).toBe(0);
  });

  it('leaves the bridge its MTU', async () => {
    expect(await node.exec(['ip', 'link', 'show', 'si-a'])).toContain(` mtu ${1500 - CARRIER_ROOM} `);
  });

  it('is down, and cannot come up while the node has its tunnel', async () => {
    expect(await isUp()).toBe(false);
    const raised = await run(['ip', '-n', node.namespace, 'link', 'set', 'sh-a', 'up']);
    expect(raised.stderr).toContain('Address already in use');
    expect(await isUp()).toBe(false);
  });

  it('comes back where somebody took it away, and containers that were there leave room again', async () => {
    await node.exec(['ip', 'link', 'delete', 'sh-a']);
    expect((await headrooms(container.netns)).get('eth1')).toBe(0);
    await node.restart();
    expect((await headrooms(container.netns)).get('eth1')).toBeGreaterThanOrEqual(CARRIER_ROOM);
  });
});
