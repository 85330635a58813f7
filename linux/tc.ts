/** eBPF programs on an interface through the clsact qdisc (linux/pkt_sched.h, linux/pkt_cls.h). */
import { ignoring } from './links.ts';
import {
  attribute,
  cString,
  type Netlink,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  nested,
  parseAttributes,
  text,
  u32,
} from './netlink.ts';
import { tcmsg } from './tc-message.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
/** The program's return value is the verdict. */
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const TC_H_CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** Any EtherType, in network byte order, as tc stores it. */
const ETH_P_ALL = 0x0300;
/** Our filters' place: priority 1 is asked first, and there it must stay. */
const PRIORITY = 1;
const HANDLE = 1;

export type Direction = keyof typeof PARENT;

export interface Attachment {
  /** Interface index in the namespace of the netlink socket. */
  readonly ifindex: number;
  /** As the kernel sees it: what a container sends is `ingress` of its host end. */
  readonly direction: Direction;
  readonly programFd: number;
  /** Shown by `tc filter show`. */
  readonly name: string;
}

export interface AttachedProgram {
  readonly direction: Direction;
  readonly programId: number;
  readonly name: string;
}

const OUR_PLACE = ((PRIORITY << 16) | ETH_P_ALL) >>> 0;

/** Makes room for programs on an interface. Repeating it is no error. */
export async function addClsact(netlink: Netlink, ifindex: number): Promise<void> {
  const payload = Buffer.concat([
    tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0),
    attribute(TCA_KIND, text('clsact')),
  ]);
  await ignoring(
    'EEXIST',
    netlink.request(`add clsact to link ${ifindex}`, RTM_NEWQDISC, payload, NLM_F_CREATE | NLM_F_EXCL),
  );
}

/** Puts a program in our place, or swaps the one that is there: no packet passes in between unseen. */
export async function attachProgram(netlink: Netlink, attachment: Attachment): Promise<void> {
  const { ifindex, direction, programFd, name } = attachment;
  const options = nested(
    TCA_OPTIONS,
    attribute(TCA_BPF_FD, u32(programFd)),
    attribute(TCA_BPF_NAME, text(name)),
    attribute(TCA_BPF_FLAGS, u32(TCA_BPF_FLAG_ACT_DIRECT)),
  );
  const payload = Buffer.concat([
    tcmsg(ifindex, HANDLE, PARENT[direction], OUR_PLACE),
    attribute(TCA_KIND, text('bpf')),
    options,
  ]);
  await netlink.request(
    `attach ${name} to link ${ifindex} ${direction}`,
    RTM_NEWTFILTER,
    payload,
    NLM_F_CREATE | NLM_F_REPLACE,
  );
}

/** Takes our program off one direction. One that is gone already is no error. */
export async function detachProgram(netlink: Netlink, ifindex: number, direction: Direction): Promise<void> {
  const payload = Buffer.concat([
    tcmsg(ifindex, HANDLE, PARENT[direction], OUR_PLACE),
    attribute(TCA_KIND, text('bpf')),
  ]);
  const request = netlink.request(`detach from link ${ifindex} ${direction}`, RTM_DELTFILTER, payload);
  await ignoring('ENOENT', ignoring('EINVAL', request));
}

/** Takes clsact with all programs off an interface. One without clsact is no error. */
export async function removeClsact(netlink: Netlink, ifindex: number): Promise<void> {
  const payload = Buffer.concat([
    tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0),
    attribute(TCA_KIND, text('clsact')),
  ]);
  const request = netlink.request(`remove clsact from link ${ifindex}`, RTM_DELQDISC, payload);
  await ignoring('ENOENT', ignoring('EINVAL', request));
}

/** Takes clsact off an interface unless somebody's filters are still on it. */
export async function removeIdleClsact(netlink: Netlink, ifindex: number): Promise<void> {
  const ingress = await dumpFilters(netlink, ifindex, 'ingress');
  const egress = await dumpFilters(netlink, ifindex, 'egress');
  if (ingress.length + egress.length === 0) await removeClsact(netlink, ifindex);
}

/** The programs in our place on an interface: at most one per direction. */
export async function listPrograms(netlink: Netlink, ifindex: number): Promise<AttachedProgram[]> {
  const found: AttachedProgram[] = [];
  for (const direction of ['ingress', 'egress'] as const) {
    for (const data of await dumpFilters(netlink, ifindex, direction)) {
      const program = programOf(data);
      if (program) found.push({ direction, ...program });
    }
  }
  return found;
}

function dumpFilters(netlink: Netlink, ifindex: number, direction: Direction): Promise<Buffer[]> {
  const payload = tcmsg(ifindex, 0, PARENT[direction], 0);
  return netlink.dump(`list the filters of link ${ifindex}`, RTM_GETTFILTER, payload);
}

function programOf(data: Buffer): { programId: number; name: string } | undefined {
  if (data.readUInt32LE(8) !== HANDLE || data.readUInt32LE(16) !== OUR_PLACE) return undefined;
  const options = parseAttributes(parseAttributes(data.subarray(20)).get(TCA_OPTIONS) ?? Buffer.alloc(0));
  const id = options.get(TCA_BPF_ID);
  return id && { programId: id.readUInt32LE(0), name: cString(options.get(TCA_BPF_NAME) ?? Buffer.alloc(0)) };
}
