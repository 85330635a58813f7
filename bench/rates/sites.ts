/** The two that are compared: a node of ours whose containers are limited, and the reference plugin's host. */
import { createLab } from '../../lab/lab.ts';
import type { SuiteContext } from '../suite.ts';
import type { Distance } from './cells.ts';
import { buildOurs } from './ours.ts';
import { buildReference } from './reference.ts';
import type { End } from './traffic.ts';

/** Bits of frames a second, from the container's point of view; what is not named is not limited. */
export interface Limits {
  readonly in?: number;
  readonly out?: number;
}

/** A limited container. */
export interface Limited {
  readonly end: End;
  /** Of directions that have a limit already. */
  change(limits: Limits): Promise<void>;
  remove(): Promise<void>;
}

export interface Site {
  /** A container without limits, on the limited one's host or on the other. */
  peer(distance: Distance): End;
  /** A new container; nothing has passed its limits yet. */
  limited(limits: Limits): Promise<Limited>;
}

export type Rival = 'ours' | 'reference';

export interface Sites extends Readonly<Record<Rival, Site>> {
  close(): Promise<void>;
}

export async function buildSites({ progress }: SuiteContext): Promise<Sites> {
  const lab = await createLab({ prefix: 'slbrate', nodes: ['a', 'b'] });
  try {
    progress('starting 2 nodes, and 2 hosts for the reference');
    return { ours: await buildOurs(lab), reference: await buildReference(lab), close: () => lab.close() };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
