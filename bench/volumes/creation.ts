/** P8.create: how long a volume takes from the command that makes it until a container has it mounted. */
import { writeFileSync } from 'node:fs';
import { createLab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { mount, typed } from '../../test/support/storage-lab.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';

export const TENANT = 'blue';

/** From the first command to the end of both; ms. */
export interface Creation {
  readonly createMs: number;
  readonly mountMs: number;
}

/** As people do it: one command makes it, another mounts it. What is mounted is written to. */
export async function createAndMount(
  node: LabNode,
  name: string,
  container: LabContainer,
): Promise<Creation & { readonly hostPath: string }> {
  const began = performance.now();
  await typed(node, 'volume', 'create', name, '--tenant', TENANT, '--size', '1GiB', '--thin');
  const made = performance.now();
  const { hostPath } = await mount(node, name, container);
  const mounted = performance.now();
  writeFileSync(`${hostPath}/proof`, 'proof');
  return { createMs: made - began, mountMs: mounted - made, hostPath };
}

const ONE = { first: 'P8.create.one.first', later: 'P8.create.one.later' } as const;

/** A node that has nothing yet, in each round: its first volume starts Gluster. */
export async function measureCreationOnOne(context: SuiteContext): Promise<Measurement[]> {
  const { wanted, rounds, signal } = context;
  if (!wanted.has(ONE.first) && !wanted.has(ONE.later)) return [];
  const samples: Record<keyof typeof ONE, Creation[]> = { first: [], later: [] };
  for (let round = 1; round <= rounds; round += 1) {
    signal.throwIfAborted();
    const lab = await createLab({ prefix: 'slbvmk', nodes: ['a'] });
    try {
      const node = lab.node('a');
      await node.start();
      await lab.tenant(TENANT);
      const container = await lab.container('a', TENANT, 'c');
      for (const which of ['first', 'later'] as const) {
        const sample = await createAndMount(node, which, container);
        samples[which].push(sample);
        context.progress(`${ONE[which]} round ${round}/${rounds}: ${toldOf(sample)}`);
      }
    } finally {
      await lab.close();
    }
  }
  return [creationRow(ONE.first, samples.first), creationRow(ONE.later, samples.later)].filter(({ id }) =>
    wanted.has(id),
  );
}

export function toldOf({ createMs, mountMs }: Creation): string {
  return `made in ${createMs.toFixed(0)} ms, mounted in ${mountMs.toFixed(0)} more`;
}

export function creationRow(id: RowId, samples: readonly Creation[]): Measurement {
  const rounds = samples.map(({ createMs, mountMs }) => createMs + mountMs);
  const value = median(rounds);
  const of = (one: keyof Creation): number[] => samples.map((sample) => rounded(sample[one]));
  return {
    ...{ id, value, rounds, ours: value, baseline: undefined },
    details: { createMs: of('createMs'), mountMs: of('mountMs') },
  };
}
