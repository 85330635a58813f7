/** Filters by MAC address: into a class of a tree, or off to another interface (linux/pkt_cls.h, tc_act/tc_mirred.h). */
import { bytesToMac, type Mac, macToBytes } from '../model/addresses.ts';
import { ignoring } from './links.ts';
import {
  attribute,
  cString,
  type Netlink,
  NLM_F_CREATE,
  NLM_F_EXCL,
  nested,
  parseAttributes,
  text,
  u32,
} from './netlink.ts';
import type { Direction } from './tc.ts';
import { tcmsg } from './tc-message.ts';

const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_U32_CLASSID = 1;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_U32_TERMINAL = 1;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;

const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const TREE = 0x0001_0000;
/** In network byte order, as tc stores them. */
const ETH_P_ALL = 0x0300;
const ETH_P_ARP = 0x0608;
/**
 * Behind the place of programs. Other ones for each direction: what u32 lists of one priority is of both
 * (net/sched/cls_u32.c, u32_walk).
 */
const PRIORITY = { ingress: { arp: 2, rest: 3 }, egress: { arp: 4, rest: 5 } } as const;
/** In a tree. */
const CLASSES = 1;

export type MacEnd = 'source' | 'destination';

const place = (priority: number, protocol: number): number => ((priority << 16) | protocol) >>> 0;

interface Key {
  readonly mask: number;
  readonly value: number;
  /** Bytes from the network header. */
  readonly at: number;
}

/** Words of the Ethernet header, which stands before the network header: destination at -14, source at -8. */
function keysOf(end: MacEnd, mac: Mac): readonly Key[] {
  const bytes = Buffer.from(macToBytes(mac));
  return end === 'source'
    ? [
        { mask: 0xffff_ffff, value: bytes.readUInt32BE(0), at: -8 },
        { mask: 0xffff_0000, value: bytes.readUInt16BE(4) * 0x1_0000, at: -4 },
      ]
    : [
        { mask: 0x0000_ffff, value: bytes.readUInt16BE(0), at: -16 },
        { mask: 0xffff_ffff, value: bytes.readUInt32BE(2), at: -12 },
      ];
}

/** What `keysOf` was told. */
function macIn(selector: Buffer): Mac | undefined {
  if (selector.readUInt8(2) !== 2) return undefined;
  const value = (index: number): Buffer => selector.subarray(16 + 16 * index + 4, 16 + 16 * index + 8);
  const isSource = selector.readInt32LE(16 + 8) === -8;
  const [first, second] = [value(0), value(1)];
  return bytesToMac(
    Buffer.concat(isSource ? [first, second.subarray(0, 2)] : [first.subarray(2, 4), second]),
  );
}

/** struct tc_u32_sel and its keys. */
function selector(keys: readonly Key[]): Buffer {
  const out = Buffer.alloc(16 + 16 * keys.length);
  out.writeUInt8(TC_U32_TERMINAL, 0);
  out.writeUInt8(keys.length, 2);
  for (const [index, { mask, value, at }] of keys.entries()) {
    out.writeUInt32BE(mask >>> 0, 16 + 16 * index);
    out.writeUInt32BE(value >>> 0, 16 + 16 * index + 4);
    out.writeInt32LE(at, 16 + 16 * index + 8);
  }
  return out;
}

/** struct tc_mirred: the packet goes out of another interface instead, and comes back from an ifb one. */
function redirect(to: number): Buffer {
  const mirred = Buffer.alloc(28);
  mirred.writeInt32LE(TC_ACT_STOLEN, 8);
  mirred.writeInt32LE(TCA_EGRESS_REDIR, 20);
  mirred.writeUInt32LE(to, 24);
  const action = nested(
    1,
    attribute(TCA_ACT_KIND, text('mirred')),
    nested(TCA_ACT_OPTIONS, attribute(TCA_MIRRED_PARMS, mirred)),
  );
  return nested(TCA_U32_ACT, action);
}

async function addFilter(
  netlink: Netlink,
  what: string,
  header: Buffer,
  ...options: readonly Buffer[]
): Promise<void> {
  const payload = Buffer.concat([header, attribute(TCA_KIND, text('u32')), nested(TCA_OPTIONS, ...options)]);
  await ignoring('EEXIST', netlink.request(what, RTM_NEWTFILTER, payload, NLM_F_CREATE | NLM_F_EXCL));
}

/** One that is gone already is no error. */
async function removeFilter(netlink: Netlink, what: string, header: Buffer): Promise<void> {
  const payload = Buffer.concat([header, attribute(TCA_KIND, text('u32'))]);
  const request = netlink.request(what, RTM_DELTFILTER, payload);
  await ignoring('ENOENT', ignoring('EINVAL', request));
}

/** Sends frames from or to an address into a class of an interface's tree. `minor` is below 4096. */
export async function addClassFilter(
  netlink: Netlink,
  ifindex: number,
  minor: number,
  end: MacEnd,
  mac: Mac,
): Promise<void> {
  await removeClassFilter(netlink, ifindex, minor);
  await addFilter(
    netlink,
    `lead ${mac} to class ${minor} of link ${ifindex}`,
    tcmsg(ifindex, minor, TREE, place(CLASSES, ETH_P_ALL)),
    attribute(TCA_U32_CLASSID, u32(TREE | minor)),
    attribute(TCA_U32_SEL, selector(keysOf(end, mac))),
  );
}

export function removeClassFilter(netlink: Netlink, ifindex: number, minor: number): Promise<void> {
  // The first table of an interface has this number (net/sched/cls_u32.c, u32_init).
  const header = tcmsg(ifindex, 0x8000_0000 | minor, TREE, place(CLASSES, ETH_P_ALL));
  return removeFilter(netlink, `lead nothing to class ${minor} of link ${ifindex}`, header);
}

/** Which addresses lead to which classes. */
export async function listClassFilters(netlink: Netlink, ifindex: number): Promise<Map<Mac, number>> {
  const payload = tcmsg(ifindex, 0, TREE, 0);
  const found = await netlink.dump(`list the filters of link ${ifindex}`, RTM_GETTFILTER, payload);
  return new Map(
    found.flatMap((data) => {
      const options = optionsOf(data);
      const [keys, id] = [options.get(TCA_U32_SEL), options.get(TCA_U32_CLASSID)];
      const mac = keys && macIn(keys);
      return mac && id ? [[mac, id.readUInt32LE(0) & 0xffff] as const] : [];
    }),
  );
}

/** Sends frames from or to an address off to another interface, but for ARP. The interface has clsact. */
export async function addRedirect(
  netlink: Netlink,
  ifindex: number,
  direction: Direction,
  mac: Mac,
  to: number,
): Promise<void> {
  const end = direction === 'ingress' ? 'source' : 'destination';
  const any = selector([{ mask: 0, value: 0, at: 0 }]);
  const parent = PARENT[direction];
  await addFilter(
    netlink,
    `pass ARP on link ${ifindex}`,
    tcmsg(ifindex, 1, parent, place(PRIORITY[direction].arp, ETH_P_ARP)),
    attribute(TCA_U32_CLASSID, u32(TREE)),
    attribute(TCA_U32_SEL, any),
  );
  await addFilter(
    netlink,
    `redirect link ${ifindex} ${direction}`,
    tcmsg(ifindex, 1, parent, place(PRIORITY[direction].rest, ETH_P_ALL)),
    attribute(TCA_U32_SEL, selector(keysOf(end, mac))),
    redirect(to),
  );
}

export async function removeRedirect(netlink: Netlink, ifindex: number, direction: Direction): Promise<void> {
  for (const [priority, protocol] of [
    [PRIORITY[direction].rest, ETH_P_ALL],
    [PRIORITY[direction].arp, ETH_P_ARP],
  ] as const) {
    const header = tcmsg(ifindex, 0, PARENT[direction], place(priority, protocol));
    await removeFilter(netlink, `redirect link ${ifindex} ${direction} no more`, header);
  }
}

/** @returns where frames are sent off to, 0 when that interface is gone; undefined: they are not */
export async function redirectedTo(
  netlink: Netlink,
  ifindex: number,
  direction: Direction,
): Promise<number | undefined> {
  const payload = tcmsg(ifindex, 0, PARENT[direction], 0);
  const found = await netlink.dump(`list the filters of link ${ifindex}`, RTM_GETTFILTER, payload);
  const ours = found.filter((data) => data.readUInt32LE(16) === place(PRIORITY[direction].rest, ETH_P_ALL));
  return ours.map(targetOf).find((target) => target !== undefined);
}

function targetOf(data: Buffer): number | undefined {
  const actions = parseAttributes(optionsOf(data).get(TCA_U32_ACT) ?? Buffer.alloc(0));
  const first = parseAttributes(actions.get(1) ?? Buffer.alloc(0));
  const inner = parseAttributes(first.get(TCA_ACT_OPTIONS) ?? Buffer.alloc(0));
  return inner.get(TCA_MIRRED_PARMS)?.readUInt32LE(24);
}

function optionsOf(data: Buffer): Map<number, Buffer> {
  const attributes = parseAttributes(data.subarray(20));
  const isU32 = cString(attributes.get(TCA_KIND) ?? Buffer.alloc(0)) === 'u32';
  return parseAttributes((isU32 && attributes.get(TCA_OPTIONS)) || Buffer.alloc(0));
}
