/** What bridges and vxlan devices know about who is where, through rtnetlink (linux/neighbour.h). */
import { bytesToMac, type Ipv4, ipv4ToBytes, type Mac, macToBytes } from '../model/addresses.ts';
import { NDA_LLADDR, ndmsg, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH } from './addressing.ts';
import { ignoring } from './links.ts';
import { attribute, type Netlink, NLM_F_CREATE, NLM_F_REPLACE, parseAttributes } from './netlink.ts';

const AF_BRIDGE = 7;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;
const NDA_DST = 1;
const NDA_MASTER = 9;

export interface ForwardingEntry {
  /** Index of the bridge port. */
  readonly port: number;
  readonly mac: Mac;
}

/** Tells the bridge behind which port a MAC lives, for good (`bridge fdb add … master static`). */
export async function addForwardingEntry(netlink: Netlink, port: number, mac: Mac): Promise<void> {
  const payload = Buffer.concat([
    ndmsg(AF_BRIDGE, port, NUD_NOARP, NTF_MASTER),
    attribute(NDA_LLADDR, macToBytes(mac)),
  ]);
  await netlink.request(
    `forward ${mac} to port ${port}`,
    RTM_NEWNEIGH,
    payload,
    NLM_F_CREATE | NLM_F_REPLACE,
  );
}

/** What was written down for good in all bridges; neither what they learned nor their ports' own addresses. */
export async function listForwardingEntries(netlink: Netlink): Promise<ForwardingEntry[]> {
  const entries = await netlink.dump(
    'list who is behind which port',
    RTM_GETNEIGH,
    ndmsg(AF_BRIDGE, 0, 0, 0),
  );
  return entries.flatMap((data) => {
    const attributes = parseAttributes(data.subarray(12));
    const mac = attributes.get(NDA_LLADDR);
    const written = (data.readUInt16LE(8) & NUD_NOARP) !== 0 && attributes.has(NDA_MASTER);
    return mac === undefined || !written ? [] : [{ port: data.readInt32LE(4), mac: bytesToMac(mac) }];
  });
}

/** A host behind a vxlan device: frames for this MAC go to that address. */
export interface TunnelEntry {
  readonly mac: Mac;
  readonly node: Ipv4;
}

/** Tells a vxlan device where a MAC is, for good (`bridge fdb replace … dst …`). */
export async function addTunnelEntry(
  netlink: Netlink,
  dev: number,
  { mac, node }: TunnelEntry,
): Promise<void> {
  const payload = Buffer.concat([
    ndmsg(AF_BRIDGE, dev, NUD_NOARP | NUD_PERMANENT, NTF_SELF),
    attribute(NDA_LLADDR, macToBytes(mac)),
    attribute(NDA_DST, ipv4ToBytes(node)),
  ]);
  await netlink.request(`send ${mac} to ${node}`, RTM_NEWNEIGH, payload, NLM_F_CREATE | NLM_F_REPLACE);
}

/** One that is gone already is no error. */
export async function removeTunnelEntry(
  netlink: Netlink,
  dev: number,
  { mac, node }: TunnelEntry,
): Promise<void> {
  const payload = Buffer.concat([
    ndmsg(AF_BRIDGE, dev, 0, NTF_SELF),
    attribute(NDA_LLADDR, macToBytes(mac)),
    attribute(NDA_DST, ipv4ToBytes(node)),
  ]);
  await ignoring('ENOENT', netlink.request(`send ${mac} nowhere`, RTM_DELNEIGH, payload));
}

/** Where a vxlan device sends what. */
export async function listTunnelEntries(netlink: Netlink, dev: number): Promise<TunnelEntry[]> {
  const entries = await netlink.dump(
    'list who is behind the tunnel',
    RTM_GETNEIGH,
    ndmsg(AF_BRIDGE, 0, 0, 0),
  );
  return entries.flatMap((data) => {
    const attributes = parseAttributes(data.subarray(12));
    const mac = attributes.get(NDA_LLADDR);
    const node = attributes.get(NDA_DST);
    if (data.readInt32LE(4) !== dev || mac === undefined || node === undefined) return [];
    return [{ mac: bytesToMac(mac), node: [...node.subarray(0, 4)].join('.') as Ipv4 }];
  });
}
