/** Reads the elements of an nftables set, and when anything has changed: for threads that look at every packet, without libnftables. */
import { closeSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';
import { bind, MSG_DONTWAIT, receive, SOCK_CLOEXEC, SOCK_RAW, sendto, socket } from './libc.ts';
import { attribute, cString, NETLINK_NETFILTER, parseAttributes, text } from './netlink.ts';

const AF_NETLINK = 16;
const SOCKADDR_NL_BYTES = 12;
/** struct nlmsghdr and struct nfgenmsg (linux/netlink.h, linux/netfilter/nfnetlink.h). */
const MESSAGE_HEAD_BYTES = 16;
const HEAD_BYTES = MESSAGE_HEAD_BYTES + 4;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NFNL_SUBSYS_NFTABLES = 10;
/** linux/netfilter/nf_tables.h */
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_GETGEN = 16;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_DATA_VALUE = 1;
const NFTA_GEN_ID = 1;
/** libnftnl/udata.h: type, length, text with its end. */
const UDATA_SET_ELEM_COMMENT = 0;
/** linux/netfilter.h */
const FAMILIES = { bridge: 7, ip: 2 } as const;
/** A dump comes in parts no larger than the buffer of the reader, and no larger than 32 KiB. */
const LARGEST_PART = 65_536;

export interface SetElement {
  /** As the kernel has it: an interface's number, for one, in host byte order. */
  readonly key: Buffer;
  /** Empty where nothing was written. */
  readonly comment: string;
}

/** Each call is answered before it returns: some microseconds, and some more for every hundred elements. */
export interface NftElements extends Disposable {
  /** Another number after every change of nftables in this namespace, whoever made it. */
  generation(): number;
  /** @returns undefined when there is no such set */
  list(family: keyof typeof FAMILIES, table: string, set: string): SetElement[] | undefined;
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
    if (udata.readUInt8(at) === UDATA_SET_ELEM_COMMENT) return cString(udata.subarray(at + 2, end));
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
