/** Sends through a limit, and has it written down how the traffic came through (bench/ratebench.c). */
import * as z from 'zod';
import { runOk } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { IfName } from '../../model/names.ts';
import { helper } from '../helper.ts';
import { twoCpus } from '../machine.ts';
import type { Protocol } from './cells.ts';
import type { Trace } from './figures.ts';

/** One end: a container, and the interface that is limited. */
export interface End {
  readonly netns: string;
  readonly address: Ipv4;
  readonly ifName: IfName;
}

export interface Path {
  readonly from: End;
  readonly to: End;
}

export interface Traffic {
  readonly protocol: Protocol;
  /** Whole ones, 1 to 60, from the first byte on. */
  readonly seconds: number;
  /** Of UDP, in bits of frames a second; 0: as fast as can be. */
  readonly offered: number;
  readonly signal: AbortSignal;
}

const Printed = z.object({
  startedMs: z.number(),
  mss: z.number(),
  retransmitted: z.number(),
  reset: z.boolean(),
  samples: z.array(z.tuple([z.number(), z.number(), z.number(), z.number()])),
  silences: z.array(z.tuple([z.number(), z.number()])),
});

/** What is set up and torn down around it takes no longer than this. */
const SPARE_MS = 15_000;

/** @throws SluiceError `program_failed` when an end cannot reach the other */
export async function send(
  { from, to }: Path,
  { protocol, seconds, offered, signal }: Traffic,
): Promise<Trace> {
  const cpus = twoCpus();
  const ends = [from.netns, to.netns, to.address, to.ifName];
  const numbers = [seconds, cpus.from, cpus.to, offered].map(String);
  const printed = await runOk([helper('ratebench'), protocol, ...ends, ...numbers], {
    timeoutMs: seconds * 1_000 + SPARE_MS,
    signal,
  });
  const { samples, silences, ...rest } = Printed.parse(JSON.parse(printed));
  return {
    ...rest,
    protocol,
    samples: samples.map(([atMs, bytes, packets, payloadBytes]) => ({ atMs, bytes, packets, payloadBytes })),
    silences: silences.map(([fromMs, lengthMs]) => ({ fromMs, lengthMs })),
  };
}

/** The clock of the traces: CLOCK_MONOTONIC, in ms. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
