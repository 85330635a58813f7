/** One packet, four judges: the plain words of the format, the userland codec, the userland plane, and the eBPF programs. */
import fc from 'fast-check';
import { testRun, updateMap } from '../../linux/bpf.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { type Cidr, numberToIpv4 } from '../../model/addresses.ts';
import type { TenantTag } from '../../model/names.ts';
import * as maps from '../../tagqueue/maps.ts';
import { judgeIn, judgeOut, type Passage } from '../../tagqueue/nfqueue/codec.ts';
import { tablesOf } from '../../tagqueue/nfqueue/tables.ts';
import { type DropReason, reasonOfNumber } from '../../tagqueue/reasons.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { furnish } from '../fence/furnish.ts';
import { type Generated, generated } from '../fence/generated.ts';
import { judge, type Ruling } from '../fence/plain-judge.ts';
import { CONF, KEYS, OTHER_TENANT, TENANT, WIRE_MAC } from '../fence/world.ts';
import { ETHERTYPE } from '../frames.ts';

const PACKETS = 10_000;
const SEED = Number(process.env['SLUICE_SEED'] ?? Date.now() % 0x7fff_ffff);
const TC_ACT_OK = 0;
const HEADROOM = 64;

const KNOWN: readonly TenantTag[] = [TENANT, OTHER_TENANT];
const MARK_MASK = 0xffff_ff;
const TABLES = tablesOf({
  ...{ internalPool: CONF.internalPool, ownBlock: CONF.ownBlock, markMask: MARK_MASK },
  keys: {
    current: CONF.epoch,
    keys: [...KEYS].map(([epoch, key]) => ({ epoch, key: key.toString('hex') as never })),
  },
  tenants: KNOWN.map((tag) => [tag, tag]),
  peerBlocks: peersOf(),
});

/** The pool without the own block. */
function peersOf(): Cidr[] {
  const blocks: Cidr[] = [];
  for (let at = 0x0a40_0400; at < 0x0a50_0000; at += 1024) blocks.push(`${numberToIpv4(at)}/22` as Cidr);
  return blocks;
}

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
    ...{ at: HEADROOM, length: packet.length, mark: tenant, changed: false },
  };
  const reason = (direction === 'out' ? judgeOut : judgeIn)(TABLES, passage);
  return outcomeOf({
    refused: reasonOfNumber(reason) as DropReason,
    packet: room.subarray(passage.at, passage.at + passage.length),
    tenant: direction === 'in' ? passage.mark : 0,
  });
}

let fence: Fence;
let builds: FenceBuilds;
beforeAll(() => {
  builds = new FenceBuilds();
  fence = loadFence(builds.build());
  furnish(fence, 1, {});
  updateMap(fence.map('settings'), maps.indexKey(0), maps.encodeConf(CONF));
});
afterAll(() => {
  fence[Symbol.dispose]();
  builds[Symbol.dispose]();
});

function byPrograms({ direction, packet, tenant }: Generated): Outcome {
  const before = fence.drops();
  const frame = ethernetFrame(WIRE_MAC, WIRE_MAC, ETHERTYPE.ipv4, packet);
  const program = fence.program(direction === 'out' ? 'uplink_out' : 'uplink_in');
  const after = testRun(program, frame, { mark: tenant });
  if (after.action === TC_ACT_OK)
    return outcomeOf({ packet: after.packet.subarray(14), tenant: direction === 'in' ? after.mark : 0 });
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

it('the userland codec agrees with the format', () => compare('codec', packets, byCodec));

it('the eBPF programs agree with the format', () => {
  // The kernel test-runs no packet that is shorter than its header.
  const runnable = packets.filter(({ packet }) => packet.length >= 20);
  compare(
    'eBPF',
    runnable.filter((one) => byWords(one).refused !== 'other_tenant'),
    byPrograms,
  );
});
