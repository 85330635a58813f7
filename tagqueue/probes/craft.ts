/** Makes probes that this node's own programs would not send: each wrong in one way, and a right one to compare with. */
import { randomInt } from 'node:crypto';
import { ETHERTYPE, ethernetFrame, ipv4Packet, PROTOCOL, udpDatagram } from '../../linux/frames.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { FENCE_PROBE_PORT, type ProbeKind, STRANGER_TAG } from '../../model/fence-probe.ts';
import { type KeyEpoch, PROBE_TAG, type TenantTag } from '../../model/names.ts';
import { encodeTag, type Flow, TAG_BYTES, type TagKey } from '../wire.ts';

/** From where to where: the two nodes' gateway addresses inside, and the link between them. */
export interface ProbePath {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly sourceMac: Mac;
  readonly nextHopMac: Mac;
}

/** What tags are made with. */
export interface ProbeKeys {
  readonly current: TagKey;
  /** A key that was withdrawn some time ago; undefined when there was none. */
  readonly expired: TagKey | undefined;
  /** Epochs that have a key, or lately had one. */
  readonly known: ReadonlySet<KeyEpoch>;
}

/** Who a probe says it is. */
interface Claim {
  readonly tenant: TenantTag;
  readonly key: TagKey;
  /** Whether a bit of the MAC is wrong. */
  readonly forged?: boolean;
}

/** @returns undefined for a probe without a tag, and for a kind that cannot be made now: `expired` without such a key */
function claimOf(kind: ProbeKind, { current, expired, known }: ProbeKeys): Claim | undefined {
  switch (kind) {
    case 'valid':
      return { tenant: PROBE_TAG, key: current };
    case 'wrong-tenant':
      return { tenant: STRANGER_TAG, key: current };
    case 'forged':
      return { tenant: PROBE_TAG, key: current, forged: true };
    case 'expired':
      return expired && { tenant: PROBE_TAG, key: expired };
    case 'unknown-epoch':
      // A key of zeros: the one that a map without the check for it would use.
      return { tenant: PROBE_TAG, key: { epoch: unusedEpoch(known), secret: Buffer.alloc(16) } };
    case 'untagged':
      return undefined;
  }
}

export function canMake(kind: ProbeKind, keys: ProbeKeys): boolean {
  return kind === 'untagged' || claimOf(kind, keys) !== undefined;
}

/** The epoch that comes round last. */
function unusedEpoch(known: ReadonlySet<KeyEpoch>): KeyEpoch {
  const newest = Math.max(0, ...known);
  const epochs = Array.from({ length: 256 }, (_, step) => ((newest + 128 + step) % 256) as KeyEpoch);
  return epochs.find((epoch) => !known.has(epoch)) ?? (0 as KeyEpoch);
}

const MAC_AT = 8;

function tagFor(flow: Flow, claim: Claim | undefined): Buffer {
  if (claim === undefined) return Buffer.alloc(0);
  const tag = encodeTag(flow, claim.tenant, claim.key);
  if (claim.forged !== true) return tag;
  const at = randomInt(MAC_AT, TAG_BYTES);
  tag.writeUInt8(tag.readUInt8(at) ^ (1 << randomInt(8)), at);
  return tag;
}

/** How each carrier puts a claim on a packet. */
const CARRIERS: Readonly<
  Partial<Record<Carrier, (path: ProbePath, claim: Claim | undefined, message: Buffer) => Buffer>>
> = {
  option: optionFrame,
};

/** Carriers that probes can be made for. */
export const CRAFTED_CARRIERS = Object.keys(CARRIERS) as readonly Carrier[];

function optionFrame(path: ProbePath, claim: Claim | undefined, message: Buffer): Buffer {
  const flow = { source: path.source, destination: path.destination, protocol: PROTOCOL.udp };
  const datagram = udpDatagram(FENCE_PROBE_PORT, FENCE_PROBE_PORT, message);
  const packet = ipv4Packet({ ...flow, options: tagFor(flow, claim) }, datagram);
  return ethernetFrame(path.sourceMac, path.nextHopMac, ETHERTYPE.ipv4, packet);
}

/** @returns the frame as it stands on the wire; undefined when it cannot be made now */
export function craftProbe(
  kind: ProbeKind,
  carrier: Carrier,
  path: ProbePath,
  keys: ProbeKeys,
  message: Buffer,
): Buffer | undefined {
  return canMake(kind, keys) ? CARRIERS[carrier]?.(path, claimOf(kind, keys), message) : undefined;
}
