/** What the packet path goes by, laid out so that a look-up is an index or a few comparisons. */
import {
  type Cidr,
  cidrGateway,
  cidrNetwork,
  cidrPrefix,
  type Ipv4,
  ipv4ToBytes,
} from '../../model/addresses.ts';
import type { ClusterKeys } from '../../model/keys.ts';
import type { TenantTag } from '../../model/names.ts';

/** In terms of the model; structured, so that it can be posted to a worker. */
export interface FenceFacts {
  readonly internalPool: Cidr;
  readonly ownBlock: Cidr;
  /** Where else in the pool tagged packets may come from. */
  readonly peerBlocks: readonly Cidr[];
  readonly keys: ClusterKeys;
  /** Contiguous bits of the packet mark. */
  readonly markMask: number;
  /** Tenants with containers here, by their index in the mark. */
  readonly tenants: readonly (readonly [index: number, tag: TenantTag])[];
}

const EPOCHS = 256;
const KEY_WORDS = 4;

export interface FenceTables {
  readonly pool: number;
  readonly poolMask: number;
  readonly own: number;
  readonly ownMask: number;
  /** The host's own address inside, where probes end. */
  readonly gateway: number;
  /** The epoch to tag with. */
  readonly epoch: number;
  /** Four words for each epoch. */
  readonly keys: Uint32Array;
  /** 1 for an epoch whose tags are believed. */
  readonly valid: Uint8Array;
  readonly markMask: number;
  readonly markShift: number;
  /** 0: nobody. */
  readonly tagOfIndex: Uint32Array;
  readonly markOfTag: ReadonlyMap<number, number>;
  /** First and last addresses of the peers' blocks, in order and apart. */
  readonly peerFirst: Uint32Array;
  readonly peerLast: Uint32Array;
}

/** @returns the tables, new: a worker changes from the old to these between two packets. */
export function tablesOf(facts: FenceFacts): FenceTables {
  const { internalPool, ownBlock, keys, markMask, tenants } = facts;
  const markShift = 31 - Math.clz32(markMask & -markMask);
  const tagOfIndex = new Uint32Array(tenants.reduce((most, [index]) => Math.max(most, index), 0) + 1);
  for (const [index, tag] of tenants) tagOfIndex[index] = tag;
  const peers = ranges(facts.peerBlocks);
  return {
    ...{ pool: numberOf(cidrNetwork(internalPool)), poolMask: maskOf(internalPool) },
    ...{ own: numberOf(cidrNetwork(ownBlock)), ownMask: maskOf(ownBlock) },
    gateway: numberOf(cidrGateway(ownBlock)),
    epoch: keys.current,
    ...keyTables(keys),
    ...{ markMask, markShift, tagOfIndex },
    markOfTag: new Map(tenants.map(([index, tag]) => [tag, (index << markShift) >>> 0])),
    peerFirst: Uint32Array.from(peers, ([first]) => first),
    peerLast: Uint32Array.from(peers, ([, last]) => last),
  };
}

function keyTables({ keys }: ClusterKeys): Pick<FenceTables, 'keys' | 'valid'> {
  const words = new Uint32Array(EPOCHS * KEY_WORDS);
  const valid = new Uint8Array(EPOCHS);
  for (const { epoch, key } of keys) {
    const secret = Buffer.from(key, 'hex');
    for (let word = 0; word < KEY_WORDS; word++)
      words[epoch * KEY_WORDS + word] = secret.readUInt32LE(word * 4);
    valid[epoch] = 1;
  }
  return { keys: words, valid };
}

function numberOf(address: Ipv4): number {
  return Buffer.from(ipv4ToBytes(address)).readUInt32BE();
}

function maskOf(block: Cidr): number {
  return 2 ** 32 - 2 ** (32 - cidrPrefix(block));
}

/** Sorted and without overlaps: a block within another, of an address that moved, adds nothing. */
function ranges(blocks: readonly Cidr[]): (readonly [number, number])[] {
  const sorted = blocks
    .map((block): [number, number] => {
      const first = numberOf(cidrNetwork(block));
      return [first, first + 2 ** (32 - cidrPrefix(block)) - 1];
    })
    .sort(([a], [b]) => a - b);
  const apart: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = apart.at(-1);
    if (before !== undefined && first <= before[1]) before[1] = Math.max(before[1], last);
    else apart.push([first, last]);
  }
  return apart;
}

/** @param address  as a number, the first byte highest */
export function isPeers({ peerFirst, peerLast }: FenceTables, address: number): boolean {
  let low = 0;
  let high = peerFirst.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (address > (peerLast[middle] ?? 0)) low = middle + 1;
    else high = middle;
  }
  return low < peerFirst.length && address >= (peerFirst[low] ?? 0);
}
