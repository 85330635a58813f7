/** The fence at ports without eBPF: the same packets as the programs are tried with, refused for the same reasons. */
import { execFileSync } from 'node:child_process';
import { inNetns } from '../../linux/netns.ts';
import { type Nftables, openNftables } from '../../linux/nft.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import { markOf } from '../../model/mark.ts';
import type { NodeName } from '../../model/names.ts';
import { counterOf, fenceTable, PORT_GROUPS } from '../../tagqueue/nfqueue/names.ts';
import { commonScript } from '../../tagqueue/nfqueue/port-rules.ts';
import { openNfqueuePorts } from '../../tagqueue/nfqueue/ports.ts';
import type { PortPlane } from '../../tagqueue/port-binding.ts';
import { DROP_REASONS, type DropReason } from '../../tagqueue/reasons.ts';
import { ALLOWED } from '../fence/allowed.ts';
import { REFUSED_AT_PORTS } from '../fence/refused-at-ports.ts';
import { eventually, layWire, type Wire } from '../fence/wire.ts';
import { type Case, CONF, MARK, MARK_MASK, PORTS } from '../fence/world.ts';
import { ETHERTYPE } from '../frames.ts';

const TABLE = fenceTable('ports' as NodeName);
/** A tenant's mark that is not given to the port here. */
const STRANGER = markOf(4_000, MARK_MASK);
const NAME = { container: 'c1', ifName: 'eth1' } as never;

let wire: Wire;
let nft: Nftables;
let plane: PortPlane;
let container: PacketSocket;
let other: PacketSocket;

beforeAll(() => {
  wire = layWire('ports');
  wire.addPair('near1', 'far1');
  const ip = (...words: string[]): void => void execFileSync('ip', ['-n', wire.name, ...words]);
  ip('link', 'add', 'bridge0', 'type', 'bridge', 'mcast_snooping', '0');
  execFileSync('ip', ['netns', 'exec', wire.name, 'sysctl', '-qw', 'net.ipv6.conf.bridge0.disable_ipv6=1']);
  ip('link', 'set', 'bridge0', 'up');
  for (const port of ['near0', 'near1']) ip('link', 'set', port, 'master', 'bridge0');
  // As netd makes them: bridges learn nothing, and say nothing of their own.
  for (const port of ['near0', 'near1'])
    ip('link', 'set', port, 'type', 'bridge_slave', 'learning', 'off', 'mcast_flood', 'on');
  ip('link', 'set', 'near0', 'group', String(PORT_GROUPS.first));
  nft = inNetns(wire.netns, openNftables);
  nft.apply('write the rules', rulesWith([]));
  // What comes by the other port bears the mark that a case wants.
  nft.apply('mark', 'table bridge marks {\nchain in {\ntype filter hook prerouting priority -500;\n}\n}\n');
  plane = inNetns(wire.netns, () => openNfqueuePorts(TABLE, MARK_MASK));
  container = openPacketSocket(wire.netns, 'far0');
  other = openPacketSocket(wire.netns, 'far1');
});
afterAll(() => {
  for (const one of [container, other, plane]) one?.[Symbol.dispose]();
  nft?.close();
  wire?.[Symbol.dispose]();
});

function rulesWith(etherTypes: readonly number[]): string {
  const { internalPool, vxlanPort } = CONF;
  return commonScript({ table: TABLE, markMask: MARK_MASK, internalPool, vxlanPort, etherTypes });
}

function counters(): Map<DropReason, number> {
  const listed = nft.list(`counters table bridge ${TABLE}`) ?? [];
  const packets = new Map(
    listed.flatMap(({ counter }) => {
      const { name, packets } = (counter ?? {}) as { name: string; packets: number };
      return counter === undefined ? [] : [[name, packets] as const];
    }),
  );
  return new Map(DROP_REASONS.map((reason) => [reason, packets.get(counterOf(reason)) ?? 0]));
}

/** Sends a case's packet through the bridge. @returns which counters moved, and whether it came out behind */
async function show(one: Case): Promise<{ refused: Partial<Record<DropReason, number>>; arrived: boolean }> {
  const inwards = one.program === 'port_out';
  nft.apply('allow', rulesWith(one.allow ?? []));
  if (one.port === 'unbound') plane.unbind(wire.near);
  else plane.bind({ ...PORTS[one.port ?? 'internal'], ifindex: wire.near }, NAME);
  const own = plane.read(wire.near)?.mark ?? MARK;
  const mark = one.mark === MARK ? own : (one.mark ?? 0) && STRANGER;
  nft.apply(
    'mark',
    `flush chain bridge marks in
add rule bridge marks in iifname near1 meta mark set ${mark}
`,
  );
  const [from, to] = inwards ? [other, container] : [container, other];
  for (const socket of [container, other]) socket.take();
  const before = counters();
  from.send(one.packet);
  const moved = (): Partial<Record<DropReason, number>> =>
    Object.fromEntries(
      [...counters()]
        .map(([reason, packets]) => [reason, packets - (before.get(reason) ?? 0)] as const)
        .filter(([, packets]) => packets > 0),
    );
  const isIt = (bytes: Buffer): boolean => bytes.subarray(0, 12).equals(one.packet.subarray(0, 12));
  let arrived = false;
  await eventually(one.name, () => {
    arrived ||= to.take().some(({ bytes, outgoing }) => !outgoing && isIt(bytes));
    return arrived || Object.keys(moved()).length > 0 ? true : undefined;
  });
  return { refused: moved(), arrived };
}

/** Frames that no interface takes in whole, and cases whose mark is not a tenant's of this table, are the programs' own. */
const NINE_HEADERS = 'a chain of nine extension headers';
const isForBridge = ({ name, packet, program }: Case): boolean =>
  packet.length >= 14 &&
  (program === 'port_in' || program === 'port_out') &&
  // The kernel walks any chain to its end: what is behind it is known, and no advertisement.
  name !== NINE_HEADERS;

const refused = Object.entries(REFUSED_AT_PORTS).flatMap(([reason, cases]) =>
  cases.filter(isForBridge).map((one) => ({ reason: reason as DropReason, one, name: one.name })),
);
it.each(refused)('refuses as $reason: $name', async ({ reason, one }) => {
  expect(await show(one)).toEqual({ refused: { [reason]: 1 }, arrived: false });
});

/** Rules cannot walk options as the programs do, so these ports are stricter: no option passes. */
const hasOptions = ({ packet, program }: Case): boolean =>
  program === 'port_in' && packet.readUInt16BE(12) === ETHERTYPE.ipv4 && (packet.readUInt8(14) & 15) > 5;
const passing = ALLOWED.filter(isForBridge).map((one) => ({ one, name: `${one.program}: ${one.name}` }));
const stricter = passing.filter(({ one }) => hasOptions(one));
it.each(stricter)('refuses, unlike the programs, $name', async ({ one }) => {
  expect(await show(one)).toEqual({ refused: { ip_options: 1 }, arrived: false });
});

const allowed = passing.filter(({ one }) => !hasOptions(one));
it.each(allowed)('lets pass $name', async ({ one }) => {
  expect(await show(one)).toEqual({ refused: {}, arrived: true });
});

it('remembers bindings and blocks in the kernel, for whoever opens the plane', () => {
  const bound = { ...PORTS.internal, ifindex: wire.near };
  plane.bind(bound, NAME);
  plane.setRoute('10.64.4.0/22' as never, { node: '192.0.2.2' as never, nextHop: '192.0.2.3' as never });
  plane.setRoute('10.64.4.9/32' as never, { node: '192.0.2.4' as never, nextHop: '192.0.2.4' as never });
  using second = inNetns(wire.netns, () => openNfqueuePorts(TABLE, MARK_MASK));
  expect(inNetns(wire.netns, () => [...second.list().values()])).toEqual([bound]);
  expect(Object.fromEntries(second.routes())).toEqual({
    '10.64.4.0/22': { node: '192.0.2.2', nextHop: '192.0.2.3' },
    '10.64.4.9/32': { node: '192.0.2.4', nextHop: '192.0.2.4' },
  });
  second.dropRoute('10.64.4.9/32' as never);
  expect([...plane.routes().keys()]).toEqual(['10.64.4.0/22']);
});
