/** One packet, four judges: the plain words of the format, the userland codec, the userland plane, and the eBPF programs. */
import fc from 'fast-check';
import { testRun } from '../../linux/bpf.ts';
import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import { numberToIpv4 } from '../../model/addresses.ts';
import type { KeyBits } from '../../model/keys.ts';
import { indexOfMark } from '../../model/mark.ts';
import type { TenantTag } from '../../model/names.ts';
import { judgeIn, judgeOut, type Passage } from '../../tagqueue/nfqueue/codec.ts';
import { type FenceFacts, tablesOf } from '../../tagqueue/nfqueue/tables.ts';
import { areHarmlessOptions } from '../../tagqueue/options.ts';
import { type DropReason, reasonOfNumber } from '../../tagqueue/reasons.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { furnish } from '../fence/furnish.ts';
import { type Generated, generated } from '../fence/generated.ts';
import { isMessageFromOutside, judge, type Ruling } from '../fence/plain-judge.ts';
import { openQueueSite, type Seen } from '../fence/queue-site.ts';
import { eventually } from '../fence/wire.ts';
import {
  CONF,
  INTERNET,
  KEYS,
  MARK,
  MARK_MASK,
  OTHER_MARK,
  OTHER_TENANT,
  OUTSIDER,
  PEER_BLOCK,
  TENANT,
  WIRE_MAC,
} from '../fence/world.ts';
import { ETHERTYPE } from '../frames.ts';

const PACKETS = 10_000;
const SEED = Number(process.env['SLUICE_SEED'] ?? Date.now() % 0x7fff_ffff);
const TC_ACT_OK = 0;
const HEADROOM = 64;

const KNOWN: readonly TenantTag[] = [TENANT, OTHER_TENANT];
const MARKS: Readonly<Record<number, number>> = { [TENANT]: MARK, [OTHER_TENANT]: OTHER_MARK, 0: 0 };
const tenantOf = (mark: number): number => KNOWN.find((tag) => MARKS[tag] === (mark & MARK_MASK) >>> 0) ?? 0;
const FACTS: FenceFacts = {
  ...{ internalPool: CONF.internalPool, ownBlock: CONF.ownBlock, markMask: MARK_MASK },
  keys: {
    current: CONF.epoch,
    keys: [...KEYS].map(([epoch, key]) => ({ epoch, key: key.toString('hex') as KeyBits })),
  },
  tenants: KNOWN.map((tag) => [indexOfMark(MARKS[tag]!, MARK_MASK), tag]),
  peerBlocks: [PEER_BLOCK],
};
const TABLES = tablesOf(FACTS);

const packets = fc.sample(generated, { numRuns: PACKETS, seed: SEED });

interface Outcome {
  readonly refused: DropReason | undefined;
  readonly packet: string | undefined;
  readonly tenant: number | undefined;
}

const outcomeOf = ({ refused, packet, tenant }: Ruling): Outcome => ({
  refused,
  packet: refused === undefined ? packet.toString('hex') : undefined,
  tenant: refused === undefined ? tenant : undefined,
});

function byWords({ direction, packet, tenant }: Generated): Outcome {
  return outcomeOf(judge(direction, packet, tenant, KNOWN));
}

function byCodec({ direction, packet, tenant }: Generated): Outcome {
  const room = Buffer.concat([Buffer.alloc(HEADROOM), packet, Buffer.alloc(8)]);
  const passage: Passage = {
    bytes: new DataView(room.buffer, room.byteOffset, room.length),
    ...{ at: HEADROOM, length: packet.length, mark: MARKS[tenant]!, tag: 0, changed: false },
  };
  const reason = (direction === 'out' ? judgeOut : judgeIn)(TABLES, passage);
  return outcomeOf({
    refused: reasonOfNumber(reason) as DropReason,
    packet: room.subarray(passage.at, passage.at + passage.length),
    tenant: direction === 'in' ? tenantOf(passage.mark) : 0,
  });
}

let fence: Fence;
let builds: FenceBuilds;
beforeAll(() => {
  builds = new FenceBuilds();
  fence = loadFence(builds.build());
  furnish(fence, 1, {});
});
afterAll(() => {
  fence[Symbol.dispose]();
  builds[Symbol.dispose]();
});

function byPrograms({ direction, packet, tenant }: Generated): Outcome {
  const before = fence.drops();
  const frame = ethernetFrame(WIRE_MAC, WIRE_MAC, ETHERTYPE.ipv4, packet);
  const program = fence.program(direction === 'out' ? 'uplink_out' : 'uplink_in');
  const after = testRun(program, frame, { mark: MARKS[tenant]! });
  if (after.action === TC_ACT_OK)
    return outcomeOf({
      packet: after.packet.subarray(14),
      tenant: direction === 'in' ? tenantOf(after.mark) : 0,
    });
  const [reason] = Object.entries(fence.drops()).find(
    ([reason, count]) => count !== (before[reason as DropReason] ?? 0),
  ) ?? [undefined];
  return { refused: reason as DropReason, packet: undefined, tenant: undefined };
}

/** Prints the tally; a disagreement is shown with the packet that it is about. */
function compare(name: string, judged: readonly Generated[], judgement: (one: Generated) => Outcome): void {
  const differences = judged.flatMap((one) => {
    const [words, other] = [byWords(one), judgement(one)];
    const same = JSON.stringify(words) === JSON.stringify(other);
    return same ? [] : [{ packet: one.packet.toString('hex'), direction: one.direction, words, other }];
  });
  process.stdout.write(
    `${name}: packets tried ${judged.length}, disagreements ${differences.length} (seed ${SEED})\n`,
  );
  expect(differences.slice(0, 3)).toEqual([]);
}

it('generates packets for every verdict', () => {
  const verdicts = new Set(packets.map((one) => `${one.direction} ${byWords(one).refused ?? 'passes'}`));
  for (const reason of ['passes', 'internal_leak', 'foreign_source', 'untagged', 'malformed'])
    for (const direction of ['in', 'out']) expect(verdicts).toContain(`${direction} ${reason}`);
  for (const reason of ['tag_malformed', 'tag_version', 'tag_epoch', 'tag_forged', 'other_tenant'])
    expect(verdicts).toContain(`in ${reason}`);
  for (const reason of ['ip_options', 'no_room']) expect(verdicts).toContain(`out ${reason}`);
});

it('generates ICMP errors for every verdict', () => {
  const errors = packets.filter(
    ({ direction, packet }) => direction === 'in' && packet.length >= 20 && isMessageFromOutside(packet),
  );
  const verdicts = new Set(
    errors.map((one) => byWords(one)).map(({ refused, tenant }) => refused ?? `for ${tenant}`),
  );
  for (const tenant of KNOWN) expect(verdicts).toContain(`for ${tenant}`);
  for (const reason of [
    'untagged',
    'tag_malformed',
    'tag_version',
    'tag_epoch',
    'tag_forged',
    'other_tenant',
  ])
    expect(verdicts).toContain(reason);
});

it('the userland codec agrees with the format', () => compare('codec', packets, byCodec));

it('the eBPF programs agree with the format', () => {
  // The kernel test-runs no packet that is shorter than its header.
  const runnable = packets.filter(({ packet }) => packet.length >= 20);
  compare('eBPF', runnable, byPrograms);
});

/** What the kernel's own stack does not let through, or changes, before or behind a plane is not compared. */
function isRoutable({ direction, packet, wellFormed }: Generated): boolean {
  if (!wellFormed || packet.length !== packet.readUInt16BE(2) || packet.readUInt8(8) < 2) return false;
  const source = packet.readUInt8(12);
  const internal = (packet.readUInt32BE(16) & 0xfff0_0000) >>> 0 === 0x0a40_0000;
  const outside = [INTERNET, OUTSIDER].includes(numberToIpv4(packet.readUInt32BE(16)));
  const headerBytes = (packet.readUInt8(0) & 15) * 4;
  const plain = headerBytes === 20;
  // A router reads options before it forwards; what comes from the wire is judged before that.
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (direction === 'out' && !areHarmlessOptions(view, 20, headerBytes)) return false;
  return source > 0 && source < 224 && source !== 127 && (internal || (outside && plain));
}

it('the userland plane agrees with the format', async () => {
  const routable = packets.filter(isRoutable);
  const marks = KNOWN.map((tag) => MARKS[tag]!);
  await using site = await openQueueSite(FACTS, marks);
  const seen = new Map<number, Seen>();
  const numbered = routable.map((one, number) => ({ ...one, packet: withNumber(one.packet, number) }));
  for (const [number, { direction, tenant, packet }] of numbered.entries()) {
    site.send(direction, MARKS[tenant]!, packet);
    if (number % 256 === 255) for (const [at, one] of await site.settle()) seen.set(at, one);
  }
  for (const [at, one] of await site.settle()) seen.set(at, one);

  compare('NFQUEUE', numbered, ({ direction, packet }) => {
    const found = seen.get(packet.readUInt16BE(4));
    const refused =
      found === undefined ? byWords({ ...numbered[packet.readUInt16BE(4)]! }).refused : undefined;
    if (found === undefined) return { refused, packet: undefined, tenant: undefined };
    return {
      refused: undefined,
      packet: unrouted(found.packet).toString('hex'),
      tenant: direction === 'in' ? tenantOf(found.mark) : 0,
    };
  });
});

it('a worker that dies lets nothing through, and another one is started in its place', async () => {
  const passing = packets
    .filter(isRoutable)
    .find((one) => one.direction === 'in' && KNOWN.some((tag) => tag === byWords(one).tenant));
  await using site = await openQueueSite(
    FACTS,
    KNOWN.map((tag) => MARKS[tag]!),
  );
  const tryOne = async (number: number): Promise<boolean> => {
    site.send('in', 0, withNumber(passing!.packet, number));
    return (await site.settle()).has(number);
  };
  expect(await tryOne(1)).toBe(true);
  site.workers.post({ ...FACTS, keys: 'not keys' as never });
  await eventually('the workers die', () => site.workers.counters().restarts > 1 || undefined);
  expect(await tryOne(2)).toBe(false);
  site.workers.post(FACTS);
  // It reads in the namespace of this process, not in the site's: a thread is born where its process is.
  await eventually('they read again', () => site.workers.reading(100).then((all) => all || undefined));
});

function withNumber(packet: Buffer, number: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(number, 4);
  return withChecksum(copy);
}

/** As it was before the router took a hop off. */
function unrouted(packet: Buffer): Buffer {
  // What stands behind its total length is no part of it, as on any Ethernet.
  const copy = Buffer.from(packet.subarray(0, packet.readUInt16BE(2)));
  copy.writeUInt8(copy.readUInt8(8) + 1, 8);
  return withChecksum(copy);
}

function withChecksum(packet: Buffer): Buffer {
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(internetChecksum(packet.subarray(0, (packet.readUInt8(0) & 15) * 4)), 10);
  return packet;
}
