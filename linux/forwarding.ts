/** What a bridge knows about who is behind which port, through rtnetlink (linux/neighbour.h). */
import { bytesToMac, type Mac, macToBytes } from '../model/addresses.ts';
import { NDA_LLADDR, ndmsg, RTM_GETNEIGH, RTM_NEWNEIGH } from './addressing.ts';
import { attribute, type Netlink, NLM_F_CREATE, NLM_F_REPLACE, parseAttributes } from './netlink.ts';

const AF_BRIDGE = 7;
const NUD_NOARP = 0x40;
const NTF_MASTER = 0x04;
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
