/** Between network cards segments are cut and merged around the carrier, and every byte and checksum is right. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { UPLINK } from '../../lab/topology.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { type Argv, run, runOk } from '../../linux/process.ts';
import { ipv4ToBytes } from '../../model/addresses.ts';
import { Carrier } from '../../model/carrier.ts';
import { carrierOf, useCarrier } from '../attacks/carriage.ts';
import { eventually } from '../fence/wire.ts';
import { say, type Way } from '../path/scene.ts';
import { sendSegments } from '../path/udp.ts';

const BYTES = 64 * 2 ** 20;
const TCP_PORT = 5_001;
/** Longer than any packet on the wire: it can only have been merged. */
const MERGED_BYTES = 8_192;

let lab: Lab;
let from: LabContainer;
let to: LabContainer;
let content: Buffer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'tcards', nodes: ['a', 'b'], wire: 'nic' });
  await lab.start();
  await lab.tenant('blue');
  [from, to] = [await lab.container('a', 'blue', 'from'), await lab.container('b', 'blue', 'to')];
  // Else a veth takes its peer's word for every checksum, and nobody makes or looks at one.
  for (const node of lab.nodes) await node.exec(['ethtool', '-K', UPLINK, 'tx', 'off']);
  content = randomBytes(BYTES);
  writeFileSync(`${lab.directory}/content`, content);
}, 60_000);
afterAll(() => lab?.close());

const within = ({ netns }: LabContainer, ...argv: Argv): Argv => ['nsenter', `--net=${netns}`, '--', ...argv];
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const internalName = ({ result }: LabContainer): string =>
  (result['interfaces'] as readonly { readonly name: string }[])[1]!.name;

/** Waits until node a sends by it. */
async function carry(carrier: Carrier): Promise<void> {
  await useCarrier(lab, carrier);
  using netns = openNetns(lab.node('a').netns);
  using uplink = openPacketSocket(netns, UPLINK);
  const source = Buffer.from(ipv4ToBytes(from.internal));
  await eventually(`node a sends by ${carrier}`, async () => {
    await run(within(from, 'ping', '-q', '-c', '1', '-W', '1', to.internal));
    const seen = uplink.take().findLast(({ bytes, outgoing }) => outgoing && bytes.includes(source));
    return seen !== undefined && carrierOf(seen.bytes) === carrier ? true : undefined;
  });
}

interface Counted {
  readonly bytes: number;
  readonly packets: number;
  readonly wrongSums: number;
}

/** What the receiver's interface and its kernel have counted. */
async function counted(): Promise<Counted> {
  const [link] = JSON.parse(await runOk(within(to, 'ip', '-j', '-s', 'link', 'show', internalName(to))));
  const snmp = await runOk(within(to, 'cat', '/proc/net/snmp'));
  const [names, values] = snmp.split('\n').filter((line) => line.startsWith('Tcp:')) as [string, string];
  const wrongSums = Number(values.split(' ')[names.split(' ').indexOf('InCsumErrors')]);
  return { ...link.stats64.rx, wrongSums };
}

function betweenCards(carrier: Carrier, way: Way): void {
  beforeAll(() => carry(carrier), 30_000);

  it('64 MB of TCP arrive as they were sent', async () => {
    const received = `${lab.directory}/received`;
    const before = await counted();
    const listening = run(within(to, 'timeout', '20', 'sh', '-c', `nc -l -p ${TCP_PORT} > ${received}`));
    await eventually('it listens', async () =>
      (await run(within(to, 'ss', '-Hltn', 'sport', '=', `:${TCP_PORT}`))).stdout !== '' ? true : undefined,
    );
    const sending = `nc -N ${to.internal} ${TCP_PORT} < ${lab.directory}/content`;
    await run(within(from, 'timeout', '15', 'sh', '-c', sending));
    await listening;
    const after = await counted();
    const arrived = readFileSync(received);
    const unit = Math.round((after.bytes - before.bytes) / (after.packets - before.packets));
    const wrong = after.wrongSums - before.wrongSums;
    say(
      { carrier, way },
      'TCP between cards',
      `${arrived.length} of ${BYTES} bytes, ${wrong} wrong checksums, ${unit} bytes a unit on average`,
    );
    expect(sha256(arrived)).toBe(sha256(content));
    expect(wrong).toBe(0);
    // Linux merges only headers without options, and a bridge cuts what was merged in a tunnel.
    if (carrier === 'vxlan' && way === 'fast path') expect(unit).toBeGreaterThan(MERGED_BYTES);
  }, 60_000);

  it('datagrams that are handed over in one piece arrive one by one', async () => {
    const { tried, arrived } = await sendSegments(from.netns, to.netns, to.internal);
    say({ carrier, way }, 'datagrams in one piece', `tried ${tried}, arrived ${arrived}`);
    expect(arrived).toBe(tried);
  });
}

describe.each(Carrier.options)('on the fast path, with the carrier %s', (carrier) =>
  betweenCards(carrier, 'fast path'),
);

describe('without the fast path', () => {
  beforeAll(async () => {
    await Promise.all(lab.nodes.map((node) => node.restart({ tagqueue: { fastPath: 'off' } })));
  }, 60_000);
  describe.each(Carrier.options)('with the carrier %s', (carrier) => betweenCards(carrier, 'long way'));
});
