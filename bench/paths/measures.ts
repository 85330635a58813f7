/** The three measurements of a path between two containers: throughput, round trip, small packets. */
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { readTextIfThere } from '../../linux/files.ts';
import { type Argv, isAlive, type ProcessId, runOk, startDaemon } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { helper } from '../helper.ts';
import { inside } from '../inside.ts';
import { twoCpus } from '../machine.ts';

/** One end of a path: a container. */
export interface End {
  readonly netns: string;
  /** Its address on the internal side. */
  readonly internal: Ipv4;
}

export interface Path {
  readonly from: End;
  readonly to: End;
}

export interface MeasureOptions {
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export type PathMeasure = (path: Path, options: MeasureOptions) => Promise<number>;

/** What is set up and torn down around a measurement takes no longer than this. */
const SPARE_MS = 15_000;

const RoundTrips = z.object({ p50Microseconds: z.number() });
const Packets = z.object({ perSecond: z.number() });

/**
 * Median µs of a 64-byte request and its answer over TCP. Both ends on one CPU: then the path is what is
 * measured, and not how long an idle CPU takes to wake up, which is several times as much and differs from
 * round to round.
 */
export async function roundTrip({ from, to }: Path, options: MeasureOptions): Promise<number> {
  const cpu = String(twoCpus().from);
  const printed = await netbench(
    ['rr', from.netns, to.netns, to.internal, String(options.seconds), cpu, cpu],
    options,
  );
  return RoundTrips.parse(printed).p50Microseconds;
}

/** 64-byte UDP packets per second that arrive when as many as possible are sent; each end on its own CPU. */
export async function packetRate({ from, to }: Path, options: MeasureOptions): Promise<number> {
  const cpus = twoCpus();
  const ends = [
    from.netns,
    to.netns,
    to.internal,
    String(options.seconds),
    String(cpus.from),
    String(cpus.to),
  ];
  return Packets.parse(await netbench(['udp', ...ends], options)).perSecond;
}

const Connections = z.object({ perSecond: z.number() });

/** New TCP connections per second, one after the other, each with one HTTP request and its answer. */
export async function connectionRate({ from, to }: Path, options: MeasureOptions): Promise<number> {
  const cpus = twoCpus();
  const words = ['connect', from.netns, to.netns, to.internal, String(options.seconds)];
  return Connections.parse(await netbench([...words, String(cpus.from), String(cpus.to)], options)).perSecond;
}

async function netbench(words: readonly string[], { seconds, signal }: MeasureOptions): Promise<unknown> {
  return JSON.parse(
    await runOk([helper('netbench'), ...words], { timeoutMs: seconds * 1_000 + SPARE_MS, signal }),
  );
}

const IPERF_PORT = 5201;
/** Thrown away: the window opens, the caches fill. */
const WARM_UP_SECONDS = 1;
const Throughput = z.object({ end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }) });

/**
 * Gbit/s of one TCP stream as iperf3 receives it; each end on its own CPU. The congestion control is named,
 * because that of the machine may be one whose results swing (BBR does, by 15 %).
 */
export async function throughput({ from, to }: Path, { seconds, signal }: MeasureOptions): Promise<number> {
  const cpus = twoCpus();
  const port = ['--port', String(IPERF_PORT)];
  const server = await startDaemon(inside(to, ['iperf3', '--server', '--one-off', ...port]));
  try {
    await listening(server.id, IPERF_PORT);
    const wanted: Argv = [
      ...(['iperf3', '--client', to.internal, ...port, '--json', '--congestion', 'cubic'] as const),
      ...[
        '--time',
        String(seconds),
        '--omit',
        String(WARM_UP_SECONDS),
        '--affinity',
        `${cpus.from},${cpus.to}`,
      ],
    ];
    const printed = await runOk(inside(from, wanted), { timeoutMs: seconds * 1_000 + SPARE_MS, signal });
    return Throughput.parse(JSON.parse(printed)).end.sum_received.bits_per_second / 1e9;
  } finally {
    await server.stop();
  }
}

/** State LISTEN in /proc/net/tcp and tcp6 (net/tcp_states.h). */
const LISTEN = '0A';
const LISTENING_WITHIN_MS = 5_000;

async function listening(server: ProcessId, port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const socket = new RegExp(`^ *\\d+: [0-9A-F]+:${hex} [0-9A-F]+:0000 ${LISTEN} `, 'm');
  const until = performance.now() + LISTENING_WITHIN_MS;
  while (isAlive(server) && performance.now() < until) {
    const tables = ['tcp', 'tcp6'].map((name) => readTextIfThere(`/proc/${server.pid}/net/${name}`) ?? '');
    if (tables.some((table) => socket.test(table))) return;
    await sleep(5);
  }
  throw new SluiceError(
    'program_failed',
    `iperf3 does not listen on port ${port}`,
    'run `iperf3 --server` by hand',
  );
}
