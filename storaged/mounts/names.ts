/** How mounts, their clients and their places are called: all of it follows from what is mounted for whom. Pure. */
import { createHash } from 'node:crypto';
import type { ClientPlace } from '../../linux/gluster-client.ts';
import { MountId, type MountRequest } from '../../model/volume.ts';

/** Where a node has its mounts. */
export interface MountPlaces {
  /** Mount points, for containers to bind. */
  readonly hostDir: string;
  /** What clients need; the same directory inside and outside Gluster's namespaces. */
  readonly clientDir: string;
}

/** Hexadecimal digits; two of a node that are the same are not to be expected. */
const DIGITS = 12;
export const SOURCE_PREFIX = 'sluice-c';

/** One client for each container and volume: quota and counters are a process's. */
export function clientIdOf(
  { clientDir }: MountPlaces,
  request: Pick<MountRequest, 'container' | 'volume'>,
): string {
  return `c${digest([clientDir, request.container, request.volume])}`;
}

/** What else lies beside clients' directories is not theirs. */
export function isClientId(name: string): boolean {
  return /^c[0-9a-f]{12}$/.test(name);
}

/** What is asked for again is the same mount; in another process of the container, too. */
export function mountIdOf({ clientDir }: MountPlaces, request: MountRequest): MountId {
  const { container, volume, subDirectory, readOnly, into } = request;
  const what = [clientDir, container, volume, subDirectory, readOnly, into?.directory ?? null];
  return MountId.parse(`m${digest(what)}`);
}

function digest(parts: readonly (string | boolean | null)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, DIGITS);
}

export function clientPlace({ clientDir }: MountPlaces, client: string): ClientPlace {
  return { source: `sluice-${client}`, directory: `${clientDir}/${client}` };
}

/** For containers to bind. */
export function hostPathOf({ hostDir }: MountPlaces, mount: MountId): string {
  return `${hostDir}/${mount}`;
}

/** The whole volume, for nobody but us: questions and orders to the client go through it. */
export function controlPath({ hostDir }: MountPlaces, client: string): string {
  return `${hostDir}/${client}`;
}
