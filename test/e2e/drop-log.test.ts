/** The log of refused packets: whose, where and why; bounded under a flood, and each tenant sees its own alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { ETHERTYPE, ethernetFrame, ipv4Packet, PROTOCOL, udpDatagram } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { type Ipv4, macOfAddress } from '../../model/addresses.ts';
import type { DropEvent } from '../../model/drop.ts';
import { eventually } from '../fence/wire.ts';

let lab: Lab;
let red: LabContainer;
let blue: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'tdrops', nodes: ['a', 'b'] });
  await lab.start();
  for (const tenant of ['red', 'blue']) await lab.tenant(tenant);
  red = await lab.container('b', 'red', 'r1');
  blue = await lab.container('b', 'blue', 'b1');
});
afterAll(() => lab?.close());

/** Datagrams from an address that is not the container's: refused at its port for `source_ip`. */
function lie(container: LabContainer, times: number, port: number): void {
  using netns = openNetns(container.netns);
  using socket = openPacketSocket(netns, 'eth1', { bypassQdisc: true });
  const packet = ipv4Packet(
    { source: '10.64.0.77' as Ipv4, destination: '10.64.0.78' as Ipv4, protocol: PROTOCOL.udp },
    udpDatagram(port, port, Buffer.from('a lie')),
  );
  const gateway = macOfAddress('10.64.0.1' as Ipv4);
  const frame = ethernetFrame(macOfAddress(container.internal), gateway, ETHERTYPE.ipv4, packet);
  for (let i = 0; i < times; i++) socket.send(frame);
}

async function drops<T>(node: string, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await lab.node(node).sluice(['drops', '--json', ...args]);
  if (code !== 0) throw new Error(stdout + stderr);
  return JSON.parse(stdout) as T;
}

type Counts = { reason: string; packets: number; tenants: { tenant: string; packets: number }[] }[];

const lies = async (tenant: string): Promise<number | undefined> =>
  (await drops<Counts>('b', '--tenant', tenant, '--reason', 'source_ip'))[0]?.packets;

describe('a refused packet', () => {
  it('is shown with its tenant, its container, and what its header said', async () => {
    lie(blue, 1, 4711);
    const event = await eventually('it is shown', async () =>
      (await drops<DropEvent[]>('b', '--last', '5', '--tenant', 'blue')).find(
        ({ header }) => header?.sourcePort === 4711,
      ),
    );
    expect(event).toMatchObject({
      node: 'b',
      tenant: 'blue',
      container: { id: blue.id, name: 'b1', ifName: 'eth1' },
      reason: 'source_ip',
      hook: 'port_in',
      header: { source: '10.64.0.77', destination: '10.64.0.78', protocol: 17, destinationPort: 4711 },
    });
    const { stdout } = await lab.node('b').sluice(['drops']);
    expect(stdout).toMatch(/source_ip +1 +blue 1/);
    expect(stdout).toContain('b1/eth1');
  });

  it('is not lost in the flood of another tenant, which is counted to the last packet', async () => {
    const before = (await lies('red')) ?? 0;
    lie(red, 30_000, 9);
    lie(blue, 1, 4712);
    lie(red, 30_000, 9);
    await eventually('blue’s event is kept', async () =>
      (await drops<DropEvent[]>('b', '--last', '1000', '--tenant', 'blue')).find(
        ({ header }) => header?.sourcePort === 4712,
      ),
    );
    expect((await lies('red')) ?? 0).toBe(before + 60_000);
    expect((await drops<DropEvent[]>('b', '--last', '1000', '--tenant', 'red')).length).toBeLessThanOrEqual(
      64,
    );
  });

  it('takes no more of the log than a tenant’s share, however many there are', async () => {
    const stop = new AbortController();
    let heard = 0;
    const listening = (async () => {
      const client = localClient(`${lab.node('b').runDir}/tagqueue.sock`);
      for await (const item of client.stream('/v1/drops/events?tenant=red', stop.signal)) {
        if ((item as DropEvent).header?.sourcePort === 10) heard += 1;
      }
      client.close();
    })();
    const begun = performance.now();
    // What a busy machine cannot tell in time is left out of the log.
    while (heard <= 50) {
      lie(red, 20_000, 10);
      await sleep(50);
    }
    const seconds = (performance.now() - begun) / 1_000;
    await sleep(300);
    stop.abort();
    await listening;
    expect(heard).toBeLessThanOrEqual(100 + 200 * (seconds + 0.5));
  });
});

describe('from afar', () => {
  const server = (): string => `${lab.node('a').address}:7070`;

  it('operators see what every node refused, and a tenant its own', async () => {
    const root = lab.node('a');
    const token = async (...args: string[]): Promise<string> =>
      (await root.sluice(['token', 'create', ...args])).stdout.trim();
    const operator = await token('--role', 'operator');
    const tenant = await token('--role', 'tenant', '--tenant', 'blue');
    lie(red, 1, 4713);
    lie(blue, 1, 4714);
    const asWho = (who: string, ...args: string[]) =>
      root.sluice(['drops', '--json', '--server', server(), ...args], { env: { SLUICE_TOKEN: who } });
    const seen = async (who: string): Promise<DropEvent[]> =>
      JSON.parse((await asWho(who, '--last', '1000')).stdout) as DropEvent[];

    const all = await eventually('both are told', async () => {
      const events = await seen(operator);
      const ports = new Set(events.map(({ header }) => header?.sourcePort));
      return ports.has(4713) && ports.has(4714) ? events : undefined;
    });
    // What is nobody's are the fence's own probes.
    const ofTenants = all.filter((event) => event.tenant !== null);
    expect(new Set(ofTenants.map(({ node }) => node))).toEqual(new Set(['b']));
    const own = await seen(tenant);
    expect(own.map(({ header }) => header?.sourcePort)).toContain(4714);
    expect(new Set(own.map((event) => event.tenant))).toEqual(new Set(['blue']));
    expect(await asWho(tenant, '--tenant', 'red')).toMatchObject({ code: 3 });
    expect(await asWho(tenant, '--tenant', 'red', '--follow')).toMatchObject({ code: 3 });
  });
});
