/**
 * Reads nftables without libnftables: elements of a set and whether anything has changed, for threads that look at every
 * packet; and named counters, all 64 bits of them, which JSON readers would round.
 */
import { closeSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';
import { bind, MSG_DONTWAIT, receive, SOCK_CLOEXEC, SOCK_RAW, sendto, socket } from './libc.ts';
import { attribute, cString, NETLINK_NETFILTER, parseAttributes, text, u32be } from './netlink.ts';

const AF_NETLINK = 16;
const SOCKADDR_NL_BYTES = 12;
/** struct nlmsghdr and struct nfgenmsg (linux/netlink.h, linux/netfilter/nfnetlink.h). */
const MESSAGE_HEAD_BYTES = 16;
const HEAD_BYTES = MESSAGE_HEAD_BYTES + 4;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NFNL_SUBSYS_NFTABLES = 10;
/** linux/netfilter/nf_tables.h */
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_GETGEN = 16;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_GETOBJ = 19;
const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_HANDLE = 4;
const NFTA_OBJ_TABLE = 1;
const NFTA_OBJ_NAME = 2;
const NFTA_OBJ_TYPE = 3;
const NFTA_OBJ_DATA = 4;
const NFTA_OBJ_USERDATA = 8;
const NFT_OBJECT_COUNTER = 1;
const NFTA_COUNTER_BYTES = 1;
const NFTA_COUNTER_PACKETS = 2;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_DATA_VALUE = 1;
const NFTA_GEN_ID = 1;
/** libnftnl/udata.h, of elements and of objects: type, length, text with its end. */
const UDATA_COMMENT = 0;
/** linux/netfilter.h */
const FAMILIES = { bridge: 7, ip: 2 } as const;
/** A dump comes in parts no larger than the buffer of the reader, and no larger than 32 KiB. */
const LARGEST_PART = 65_536;
/** Rules that change faster than they can be read this often are not going to settle. */
const DUMP_TRIES = 16;

export interface SetElement {
  /** As the kernel has it: an interface's number, for one, in host byte order. */
  readonly key: Buffer;
  /** Empty where nothing was written. */
  readonly comment: string;
}

export interface NamedCounter {
  readonly name: string;
  readonly comment: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface CountersOfTable {
  /** No other table of this namespace ever has it. */
  readonly handle: bigint;
  readonly counters: readonly NamedCounter[];
}

/** Each call is answered before it returns: some microseconds, and some more for every hundred elements. */
export interface NftElements extends Disposable {
  /** Another number after every change of nftables in this namespace, whoever made it. */
  generation(): number;
  /** @returns undefined when there is no such set */
  list(family: keyof typeof FAMILIES, table: string, set: string): SetElement[] | undefined;
  /**
   * All named counters of a table at one moment.
   * @returns undefined when there is no such table
   * @throws SluiceError `kernel_refused` when nftables changes all the time
   */
  counters(family: keyof typeof FAMILIES, table: string): CountersOfTable | undefined;
}

/** Opens in the current network namespace. */
export function openNftElements(): NftElements {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK);
  bind(fd, address);
  const into = Buffer.alloc(LARGEST_PART);
  const askGeneration = requestOf(NFT_MSG_GETGEN, 0, 0, []);

  /** The kernel answers while it is asked, so there is nothing to wait for. */
  function* answers(request: Buffer): Generator<Buffer> {
    sendto(fd, request, 0, null);
    for (;;) {
      const length = receive(fd, into, MSG_DONTWAIT);
      if (length === undefined) return;
      yield* messagesOf(into.subarray(0, length));
    }
  }
  function handleOf(family: number, table: string): bigint | undefined {
    let handle: bigint | undefined;
    const name = attribute(NFTA_TABLE_NAME, text(table));
    for (const message of answers(requestOf(NFT_MSG_GETTABLE, 0, family, [name])))
      if (message.readUInt16LE(4) !== NLMSG_ERROR)
        handle = parseAttributes(message.subarray(HEAD_BYTES)).get(NFTA_TABLE_HANDLE)?.readBigUInt64BE();
    return handle;
  }

  /** @returns undefined when something changed meanwhile */
  function dumpCounters(family: number, table: string): NamedCounter[] | undefined {
    const which = [
      attribute(NFTA_OBJ_TABLE, text(table)),
      attribute(NFTA_OBJ_TYPE, u32be(NFT_OBJECT_COUNTER)),
    ];
    const found: NamedCounter[] = [];
    let changed = false;
    for (const message of answers(requestOf(NFT_MSG_GETOBJ, NLM_F_DUMP, family, which))) {
      if ((message.readUInt16LE(6) & NLM_F_DUMP_INTR) !== 0) changed = true;
      const type = message.readUInt16LE(4);
      if (type === NLMSG_ERROR) changed = true;
      else if (type !== NLMSG_DONE) found.push(...counterOf(message));
    }
    return changed ? undefined : found;
  }

  return {
    generation(): number {
      let generation: number | undefined;
      for (const message of answers(askGeneration))
        generation = parseAttributes(message.subarray(HEAD_BYTES)).get(NFTA_GEN_ID)?.readUInt32BE();
      if (generation === undefined) throw refused('tell the generation of its rules');
      return generation;
    },
    list(family, table, set): SetElement[] | undefined {
      const found: SetElement[] = [];
      const names = [
        attribute(NFTA_SET_ELEM_LIST_TABLE, text(table)),
        attribute(NFTA_SET_ELEM_LIST_SET, text(set)),
      ];
      let missing = false;
      for (const message of answers(requestOf(NFT_MSG_GETSETELEM, NLM_F_DUMP, FAMILIES[family], names))) {
        const type = message.readUInt16LE(4);
        if (type === NLMSG_ERROR) missing = true;
        else if (type !== NLMSG_DONE) found.push(...elementsOf(message));
      }
      return missing ? undefined : found;
    },
    counters(family, table): CountersOfTable | undefined {
      for (let tries = 0; tries < DUMP_TRIES; tries++) {
        const handle = handleOf(FAMILIES[family], table);
        if (handle === undefined) return undefined;
        const counters = dumpCounters(FAMILIES[family], table);
        if (counters !== undefined && handleOf(FAMILIES[family], table) === handle)
          return { handle, counters };
      }
      throw refused(`list the counters of ${table}: they kept changing`);
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function requestOf(type: number, flags: number, family: number, attributes: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  const message = Buffer.concat([head, ...attributes]);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE((NFNL_SUBSYS_NFTABLES << 8) | type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  message.writeUInt8(family, MESSAGE_HEAD_BYTES);
  return message;
}

function* messagesOf(datagram: Buffer): Generator<Buffer> {
  for (let at = 0; at + MESSAGE_HEAD_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < MESSAGE_HEAD_BYTES || at + length > datagram.length) return;
    yield datagram.subarray(at, at + length);
    at += (length + 3) & ~3;
  }
}

function counterOf(message: Buffer): NamedCounter[] {
  const parts = parseAttributes(message.subarray(HEAD_BYTES));
  const data = parseAttributes(parts.get(NFTA_OBJ_DATA) ?? Buffer.alloc(0));
  const [name, packets, bytes] = [
    parts.get(NFTA_OBJ_NAME),
    data.get(NFTA_COUNTER_PACKETS)?.readBigUInt64BE(),
    data.get(NFTA_COUNTER_BYTES)?.readBigUInt64BE(),
  ];
  if (name === undefined || packets === undefined || bytes === undefined) return [];
  return [{ name: cString(name), comment: commentIn(parts.get(NFTA_OBJ_USERDATA)), packets, bytes }];
}

function elementsOf(message: Buffer): SetElement[] {
  const list = parseAttributes(message.subarray(HEAD_BYTES)).get(NFTA_SET_ELEM_LIST_ELEMENTS);
  return list === undefined ? [] : attributesOf(list).flatMap(elementOf);
}

function elementOf([type, element]: readonly [number, Buffer]): SetElement[] {
  if (type !== NFTA_LIST_ELEM) return [];
  const parts = parseAttributes(element);
  const key = parseAttributes(parts.get(NFTA_SET_ELEM_KEY) ?? Buffer.alloc(0)).get(NFTA_DATA_VALUE);
  if (key === undefined) return [];
  return [{ key: Buffer.from(key), comment: commentIn(parts.get(NFTA_SET_ELEM_USERDATA)) }];
}

/** All of them, also those of one type, which `parseAttributes` would take for one. */
function attributesOf(data: Buffer): (readonly [number, Buffer])[] {
  const found: (readonly [number, Buffer])[] = [];
  for (let at = 0; at + 4 <= data.length; ) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > data.length) break;
    found.push([data.readUInt16LE(at + 2) & 0x3fff, data.subarray(at + 4, at + length)]);
    at += (length + 3) & ~3;
  }
  return found;
}

function commentIn(udata: Buffer | undefined): string {
  for (let at = 0; udata !== undefined && at + 2 <= udata.length; ) {
    const end = at + 2 + udata.readUInt8(at + 1);
    if (udata.readUInt8(at) === UDATA_COMMENT) return cString(udata.subarray(at + 2, end));
    at = end;
  }
  return '';
}

function refused(what: string): SluiceError {
  return new SluiceError(
    'kernel_refused',
    `nftables refused to ${what}`,
    'see `nft list ruleset` and `sluice doctor`',
  );
}
