/** Connection tracking entries, through ctnetlink (linux/netfilter/nfnetlink_conntrack.h). */
import { type Ipv4, ipv4ToBytes, numberToIpv4 } from '../model/addresses.ts';
import type { Protocol } from '../model/endpoint.ts';
import { ignoring } from './links.ts';
import {
  attribute,
  NETLINK_NETFILTER,
  type Netlink,
  NetlinkError,
  nested,
  openNetlink,
  parseAttributes,
  u8,
  u16be,
  u32,
  u32be,
} from './netlink.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_PROTOINFO = 4;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_MARK_MASK = 21;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** Which tuple fields the kernel compares (net/netfilter/nf_internals.h, CTA_FILTER_F_…). */
const COMPARE_SRC = 1 << 0;
const COMPARE_DST = 1 << 1;
const COMPARE_PROTO = 1 << 3;
const COMPARE_DST_PORT = 1 << 5;

const NUMBERS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 };
const AF_INET = 2;

/** struct nfgenmsg: family, version, resource id. Version 0 of a deletion would mean all address families. */
const HEADER = Buffer.from([AF_INET, 1, 0, 0]);

/** The connection tracking of the network namespace it was opened in. Forgetting what is not there is no error. */
export interface Conntrack {
  /** Forgets all flows that this address answers, however they were addressed. */
  forgetAnsweredBy(address: Ipv4): Promise<void>;
  /** Forgets all flows that this address has begun. */
  forgetSentBy(address: Ipv4): Promise<void>;
  /** Forgets all flows that clients sent to this address and port, whoever answers them. */
  forgetSentTo(address: Ipv4, protocol: Protocol, port: number): Promise<void>;
  /** Flows under way whose mark has just these bits within the mask. */
  listMarked(mark: number, mask: number): Promise<TrackedFlow[]>;
  close(): void;
}

/** Opens in the current network namespace. */
export function openConntrack(): Conntrack {
  const netlink = openNetlink(NETLINK_NETFILTER);
  return {
    forgetAnsweredBy: (address) => {
      const tuple = nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_SRC, ipv4ToBytes(address)));
      return forget(
        netlink,
        nested(CTA_TUPLE_REPLY, tuple),
        attribute(CTA_FILTER_REPLY_FLAGS, u32(COMPARE_SRC)),
      );
    },
    forgetSentBy: (address) => {
      const tuple = nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_SRC, ipv4ToBytes(address)));
      return forget(
        netlink,
        nested(CTA_TUPLE_ORIG, tuple),
        attribute(CTA_FILTER_ORIG_FLAGS, u32(COMPARE_SRC)),
      );
    },
    forgetSentTo: (address, protocol, port) => {
      const number = attribute(CTA_PROTO_NUM, u8(NUMBERS[protocol]));
      const tuple = nested(
        CTA_TUPLE_ORIG,
        nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_DST, ipv4ToBytes(address))),
        nested(CTA_TUPLE_PROTO, number, attribute(CTA_PROTO_DST_PORT, u16be(port))),
      );
      const compare = COMPARE_DST | COMPARE_PROTO | COMPARE_DST_PORT;
      return forget(netlink, tuple, attribute(CTA_FILTER_ORIG_FLAGS, u32(compare)));
    },
    listMarked: async (mark, mask) => {
      const filter = [attribute(CTA_MARK, u32be(mark)), attribute(CTA_MARK_MASK, u32be(mask))];
      const entries = await netlink.dump('list marked flows', CT_GET, Buffer.concat([HEADER, ...filter]));
      return entries.flatMap((entry) => readFlow(entry) ?? []);
    },
    close: () => netlink.close(),
  };
}

/**
 * One request, 0.5 ms for a table of 262,144 buckets. Kernels that take filters only for lists say
 * EINVAL: there the entries are listed, 12 ms, and forgotten one by one.
 */
async function forget(netlink: Netlink, tuple: Buffer, filter: Buffer): Promise<void> {
  const payload = Buffer.concat([HEADER, tuple, nested(CTA_FILTER, filter)]);
  try {
    await netlink.request('forget tracked connections', CT_DELETE, payload);
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === 'EINVAL')) throw error;
    for (const entry of await netlink.dump('list tracked connections', CT_GET, payload)) {
      await ignoring('ENOENT', netlink.request('forget a tracked connection', CT_DELETE, identityOf(entry)));
    }
  }
}

/** What names an entry to the kernel. */
function identityOf(entry: Buffer): Buffer {
  const attributes = parseAttributes(entry.subarray(HEADER.length));
  const original = nested(CTA_TUPLE_ORIG, attributes.get(CTA_TUPLE_ORIG) ?? Buffer.alloc(0));
  return Buffer.concat([HEADER, original, attribute(CTA_ID, attributes.get(CTA_ID) ?? Buffer.alloc(4))]);
}

/** One tracked flow, as its answers go: with the addresses that it has after translation of the destination. */
export interface TrackedFlow {
  /** IPv4's protocol field. */
  readonly protocol: number;
  /** Who began it. */
  readonly source: Ipv4;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  /** Who answers it. */
  readonly destination: Ipv4;
  readonly destinationPort: number;
}

/** Of TCP flows whose both sides have finished, the kernel keeps the memory for minutes (nf_conntrack_tcp.h). */
const FINISHED: ReadonlySet<number> = new Set([6, 7, 8]);

/** @returns undefined for a flow that has finished, and for an entry that cannot be read */
function readFlow(entry: Buffer): TrackedFlow | undefined {
  const attributes = parseAttributes(entry.subarray(HEADER.length));
  const begun = readTuple(attributes.get(CTA_TUPLE_ORIG));
  const answered = readTuple(attributes.get(CTA_TUPLE_REPLY));
  if (begun === undefined || answered === undefined || FINISHED.has(tcpStateOf(attributes))) return undefined;
  return {
    protocol: begun.protocol,
    source: begun.source,
    sourcePort: begun.sourcePort,
    destination: answered.source,
    destinationPort: answered.sourcePort,
  };
}

function tcpStateOf(attributes: ReadonlyMap<number, Buffer>): number {
  const info = attributes.get(CTA_PROTOINFO);
  const tcp = info && parseAttributes(info).get(CTA_PROTOINFO_TCP);
  return (tcp && parseAttributes(tcp).get(CTA_PROTOINFO_TCP_STATE)?.[0]) ?? 0;
}

function readTuple(
  tuple: Buffer | undefined,
): Pick<TrackedFlow, 'protocol' | 'source' | 'sourcePort'> | undefined {
  const parts = tuple && parseAttributes(tuple);
  const addresses = parts?.get(CTA_TUPLE_IP);
  const transport = parts?.get(CTA_TUPLE_PROTO);
  const source = addresses && parseAttributes(addresses).get(CTA_IP_V4_SRC);
  if (source === undefined || source.length < 4 || transport === undefined) return undefined;
  const fields = parseAttributes(transport);
  return {
    protocol: fields.get(CTA_PROTO_NUM)?.[0] ?? 0,
    source: numberToIpv4(source.readUInt32BE(0)),
    sourcePort: fields.get(CTA_PROTO_SRC_PORT)?.readUInt16BE(0) ?? 0,
  };
}
