/** Has a chain of plugins called for many containers by the launcher, bench/cnibench.c. */
import path from 'node:path';
import * as z from 'zod';
import { writeAtomically } from '../../linux/files.ts';
import { runOk } from '../../linux/process.ts';
import { helper } from '../helper.ts';
import { inside } from '../inside.ts';
import { type ChainPlugin, REFERENCE_PLUGINS } from './chains.ts';

/** Milliseconds by the launcher's clock: of each container, and of all together. */
export const Times = z.object({
  addMs: z.array(z.number()),
  delMs: z.array(z.number()),
  allAddMs: z.number(),
  allDelMs: z.number(),
});
export type Times = z.infer<typeof Times>;

export interface Launch {
  readonly order: 'one-by-one' | 'at-once';
  readonly count: number;
}

export interface Ground {
  /** The network namespace the plugins work in. */
  readonly netns: string;
  /** Paths of the containers' namespaces, less the number at the end. */
  readonly containers: string;
  /** Where the configurations are written. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

const FIRST_PORT = 20_000;
/** A little more than the launcher gives itself. */
const LONGEST_MS = 130_000;

/** Adds and deletes the containers once. @throws SluiceError `program_failed` with the plugin's own words */
export async function launch(
  chain: readonly ChainPlugin[],
  { order, count }: Launch,
  ground: Ground,
): Promise<Times> {
  const words = chain.flatMap(({ program, conf }) => {
    const file = path.join(ground.directory, `${path.basename(program)}.json`);
    writeAtomically(file, JSON.stringify(conf));
    return [program, file];
  });
  const argv = [
    helper('cnibench'),
    order,
    String(count),
    ground.containers,
    String(FIRST_PORT),
    ...words,
  ] as const;
  const printed = await runOk(inside(ground, argv), {
    ...{ env: { PATH: process.env['PATH'], CNI_PATH: REFERENCE_PLUGINS } },
    ...{ timeoutMs: LONGEST_MS, signal: ground.signal },
  });
  return Times.parse(JSON.parse(printed));
}
