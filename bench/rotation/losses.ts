/** What was lost of a stream of numbered packets, and how much of it was refused for its key. */
import * as z from 'zod';
import type { LabNode } from '../../lab/node.ts';
import { runOk } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { helper } from '../helper.ts';
import { twoCpus } from '../machine.ts';
import type { MeasureOptions, Path } from '../paths/measures.ts';

/** What `netbench gaps` prints. */
export const Gaps = z.object({
  sent: z.number(),
  /** Numbers that never came. */
  lost: z.number(),
  twice: z.number(),
  /** Of those lost: come, but the receiving socket was full. */
  overflowed: z.number(),
});
export type Gaps = z.infer<typeof Gaps>;

/** By reason; the numbers only grow. */
export type Refusals = Readonly<Record<KeyReason, number>>;

export interface Refused {
  readonly refused: Refusals;
}

/** For these a packet is refused when two nodes do not have the same keys. */
const KEY_REASONS = ['tag_epoch', 'tag_forged', 'no_key'] as const;
type KeyReason = (typeof KEY_REASONS)[number];

const SPARE_MS = 15_000;

export function sumOf(refused: Refusals): number {
  return KEY_REASONS.reduce((sum, reason) => sum + refused[reason], 0);
}

/** 10,000 numbered UDP packets a second from one end to the other. */
export async function sendNumbered({ from, to }: Path, { seconds, signal }: MeasureOptions): Promise<Gaps> {
  const cpus = twoCpus();
  const words = ['gaps', from.netns, to.netns, to.internal, seconds, cpus.from, cpus.to].map(String);
  const printed = await runOk([helper('netbench'), ...words], {
    timeoutMs: seconds * 1_000 + SPARE_MS,
    signal,
  });
  return Gaps.parse(JSON.parse(printed));
}

/** What both nodes refuse for its key while `work` goes on. */
export async function withRefusals<T>(
  nodes: readonly LabNode[],
  work: () => Promise<T>,
): Promise<T & Refused> {
  const before = await refusalsOf(nodes);
  const result = await work();
  const after = await refusalsOf(nodes);
  const grown = KEY_REASONS.map((reason) => [reason, after[reason] - before[reason]] as const);
  return { ...result, refused: Object.fromEntries(grown) as Record<KeyReason, number> };
}

const Drops = z.array(z.object({ reason: z.string(), packets: z.number() }));

async function refusalsOf(nodes: readonly LabNode[]): Promise<Refusals> {
  const drops = (await Promise.all(nodes.map(dropsOf))).flat();
  const packets = KEY_REASONS.map((reason) => {
    const own = drops.filter((drop) => drop.reason === reason);
    return [reason, own.reduce((sum, drop) => sum + drop.packets, 0)] as const;
  });
  return Object.fromEntries(packets) as Record<KeyReason, number>;
}

async function dropsOf(node: LabNode): Promise<z.infer<typeof Drops>> {
  const { code, stdout, stderr } = await node.sluice(['drops', '--json']);
  if (code !== 0) throw new SluiceError('program_failed', `sluice drops: ${stdout}${stderr}`, node.logFile);
  return Drops.parse(JSON.parse(stdout));
}
