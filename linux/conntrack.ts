/** Connection tracking entries, through ctnetlink (linux/netfilter/nfnetlink_conntrack.h). */
import { type Ipv4, ipv4ToBytes } from '../model/addresses.ts';
import type { Protocol } from '../model/endpoint.ts';
import { ignoring } from './links.ts';
import { attribute, type Netlink, nested, parseAttributes, u8, u16be, u32 } from './netlink.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** Which tuple fields the kernel compares (net/netfilter/nf_internals.h, CTA_FILTER_F_…). */
const COMPARE_SRC = 1 << 0;
const COMPARE_PROTO = 1 << 3;
const COMPARE_SRC_PORT = 1 << 4;
const COMPARE_DST_PORT = 1 << 5;

const NUMBERS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 };
const AF_INET = 2;

/** struct nfgenmsg: family, version, resource id. */
const HEADER = Buffer.from([AF_INET, 0, 0, 0]);

export interface Flow {
  /** Where the client sent to. */
  readonly destination: Ipv4;
  /** Who really answers: another address than `destination` when the flow is translated. */
  readonly responder: Ipv4;
  /** What names the entry to the kernel. */
  readonly identity: Buffer;
}

function flowOf(data: Buffer): Flow[] {
  const attributes = parseAttributes(data.subarray(HEADER.length));
  const original = attributes.get(CTA_TUPLE_ORIG);
  const destination = addressIn(original, CTA_IP_V4_DST);
  const responder = addressIn(attributes.get(CTA_TUPLE_REPLY), CTA_IP_V4_SRC);
  const id = attributes.get(CTA_ID);
  if (!original || !destination || !responder || !id) return [];
  const identity = Buffer.concat([HEADER, nested(CTA_TUPLE_ORIG, original), attribute(CTA_ID, id)]);
  return [{ destination, responder, identity }];
}

function addressIn(tuple: Buffer | undefined, which: number): Ipv4 | undefined {
  const bytes =
    tuple && parseAttributes(parseAttributes(tuple).get(CTA_TUPLE_IP) ?? Buffer.alloc(0)).get(which);
  return bytes && ([...bytes].join('.') as Ipv4);
}

function list(netlink: Netlink, tuple: Buffer, filter: Buffer): Promise<Flow[]> {
  const payload = Buffer.concat([HEADER, tuple, nested(CTA_FILTER, filter)]);
  return netlink.dump('list tracked connections', CT_GET, payload).then((entries) => entries.flatMap(flowOf));
}

/** Flows that were sent to a port, whoever it belongs to. */
export function flowsToPort(netlink: Netlink, protocol: Protocol, port: number): Promise<Flow[]> {
  const proto = nested(
    CTA_TUPLE_PROTO,
    attribute(CTA_PROTO_NUM, u8(NUMBERS[protocol])),
    attribute(CTA_PROTO_DST_PORT, u16be(port)),
  );
  return list(
    netlink,
    nested(CTA_TUPLE_ORIG, proto),
    attribute(CTA_FILTER_ORIG_FLAGS, u32(COMPARE_PROTO | COMPARE_DST_PORT)),
  );
}

/** Flows that are answered by this address and port, however they were addressed. */
export function flowsAnsweredBy(
  netlink: Netlink,
  protocol: Protocol,
  address: Ipv4,
  port: number,
): Promise<Flow[]> {
  const tuple = nested(
    CTA_TUPLE_REPLY,
    nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_SRC, ipv4ToBytes(address))),
    nested(
      CTA_TUPLE_PROTO,
      attribute(CTA_PROTO_NUM, u8(NUMBERS[protocol])),
      attribute(CTA_PROTO_SRC_PORT, u16be(port)),
    ),
  );
  return list(
    netlink,
    tuple,
    attribute(CTA_FILTER_REPLY_FLAGS, u32(COMPARE_SRC | COMPARE_PROTO | COMPARE_SRC_PORT)),
  );
}

/** Forgets a flow: its next packet is looked at anew. One that has ended already is no error. */
export async function forgetFlow(netlink: Netlink, flow: Flow): Promise<void> {
  await ignoring('ENOENT', netlink.request('forget a tracked connection', CT_DELETE, flow.identity));
}
