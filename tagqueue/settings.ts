/** What the plane must know of the cluster, and the file that remembers it while the server is away. */
import * as z from 'zod';
import { readTextIfThere, writeAtomically } from '../linux/files.ts';
import { Cidr, Ipv4, Pool6, pool6ToBytes } from '../model/addresses.ts';
import { Carrier } from '../model/carrier.ts';
import { ClusterKeys } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import type { PlaneConf } from './maps.ts';
import type { DesiredPlane } from './plan.ts';

export const PlaneSettings = z.strictObject({
  internalPool: Cidr,
  /** Without it nothing internal is IPv6. */
  internalPool6: Pool6.optional(),
  /** This node's share of the pool. */
  ownBlock: Cidr,
  uplinkAddress: Ipv4,
  keys: ClusterKeys,
  /** What this node sends; it takes both. */
  carrier: Carrier.default('option'),
  /** Whether this node itself was shut out of the cluster. */
  fenced: z.boolean().default(false),
});
export type PlaneSettings = z.infer<typeof PlaneSettings>;

export function settingsFileOf(stateDir: string): string {
  return `${stateDir}/tagqueue.json`;
}

/** @returns undefined when nothing was saved yet, or when the file is damaged: the server will tell again. */
export function loadSettings(file: string, log: Log): PlaneSettings | undefined {
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    return PlaneSettings.parse(JSON.parse(text));
  } catch (error) {
    // Not the error itself: it would quote the keys.
    log.warn(
      { file, reason: error instanceof Error ? error.name : 'unknown' },
      'the saved settings are damaged',
    );
    return undefined;
  }
}

/** Readable by root only: it holds the cluster's keys. */
export function saveSettings(file: string, settings: PlaneSettings): void {
  writeAtomically(file, JSON.stringify(settings));
}

/** What the node itself adds to the cluster's settings. */
export type LocalConf = Pick<PlaneConf, 'uplink' | 'card' | 'markMask' | 'vxlanPort' | 'fastPath'>;

/** The settings as the planner wants them. */
export function desiredCluster(
  settings: PlaneSettings | undefined,
  { uplink, card, markMask, vxlanPort, fastPath }: LocalConf,
): DesiredPlane['cluster'] {
  if (settings === undefined) return undefined;
  const { internalPool, internalPool6, ownBlock, uplinkAddress, carrier, keys } = settings;
  return {
    conf: {
      ...{ internalPool, ownBlock, uplinkAddress, carrier, epoch: keys.current },
      pool6: internalPool6 && pool6ToBytes(internalPool6),
      ...{ uplink, card, markMask, vxlanPort, fastPath },
    },
    keys: new Map(keys.keys.map(({ epoch, key }) => [epoch, key])),
  };
}
