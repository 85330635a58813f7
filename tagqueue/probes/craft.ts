/** Makes probes that this node's own programs would not send: each wrong in one way, and a right one to compare with. */
import { randomInt } from 'node:crypto';
import { ETHERTYPE, ethernetFrame, ipv4Packet, PROTOCOL, udpDatagram } from '../../linux/frames.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { FENCE_PROBE_PORT, type ProbeKind, STRANGER_TAG } from '../../model/fence-probe.ts';
import { type KeyEpoch, PROBE_TAG, type TenantTag } from '../../model/names.ts';
import { type Flow, makeTag, type Tag, type TagKey } from '../token.ts';
import { optionOf } from '../wire.ts';
import { tunnelPacket } from '../wire-vxlan.ts';

/** From where to where: the two nodes' gateway addresses inside, and the link between them. */
export interface ProbePath {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly sourceMac: Mac;
  readonly nextHopMac: Mac;
  /** The two nodes' uplink addresses, and the port of the tunnel between them. */
  readonly hosts: { readonly source: Ipv4; readonly destination: Ipv4 };
  readonly vxlanPort: number;
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

/** The tag that makes the claim, in the form of this carrier. */
function tagOf(flow: Flow, { tenant, key, forged }: Claim, carrier: Carrier): Tag {
  const tag = makeTag(flow, tenant, key, carrier);
  if (forged !== true) return tag;
  const mac = Buffer.from(tag.mac);
  const at = randomInt(mac.length);
  mac.writeUInt8(mac.readUInt8(at) ^ (1 << randomInt(8)), at);
  return { ...tag, mac };
}

function flowOf({ source, destination }: ProbePath): Flow {
  return { source, destination, protocol: PROTOCOL.udp };
}

type Crafting = (path: ProbePath, claim: Claim | undefined, message: Buffer) => Buffer;

/** How each carrier puts a claim on a packet. Without one it is the same plain packet in both. */
const CARRIERS: Readonly<Record<Carrier, Crafting>> = { option: inOption, vxlan: inTunnel };

/** Carriers that probes are made for. */
export const CRAFTED_CARRIERS = Object.keys(CARRIERS) as readonly Carrier[];

function inOption(path: ProbePath, claim: Claim | undefined, message: Buffer): Buffer {
  const flow = flowOf(path);
  return claim === undefined
    ? plain(flow, message)
    : plain(flow, message, optionOf(tagOf(flow, claim, 'option')));
}

function inTunnel(path: ProbePath, claim: Claim | undefined, message: Buffer): Buffer {
  const flow = flowOf(path);
  const inner = plain(flow, message);
  if (claim === undefined) return inner;
  const { hosts, vxlanPort } = path;
  const ends = { ...hosts, sourcePort: randomInt(FIRST_SOURCE_PORT, 65_536), port: vxlanPort };
  return tunnelPacket(inner, ends, tagOf(flow, claim, 'vxlan'));
}

/** Those that the tunnel sends from (docs/tag-wire-format.md). */
const FIRST_SOURCE_PORT = 49_152;

function plain(flow: Flow, message: Buffer, options: Uint8Array = new Uint8Array()): Buffer {
  return ipv4Packet({ ...flow, options }, udpDatagram(FENCE_PROBE_PORT, FENCE_PROBE_PORT, message));
}

/** @returns the frame as it stands on the wire; undefined when it cannot be made now */
export function craftProbe(
  kind: ProbeKind,
  carrier: Carrier,
  path: ProbePath,
  keys: ProbeKeys,
  message: Buffer,
): Buffer | undefined {
  if (!canMake(kind, keys)) return undefined;
  const packet = CARRIERS[carrier](path, claimOf(kind, keys), message);
  return ethernetFrame(path.sourceMac, path.nextHopMac, ETHERTYPE.ipv4, packet);
}
