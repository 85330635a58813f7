/** The netlink messages of NFQUEUE, read and written in place (linux/netfilter/nfnetlink_queue.h). */

const NFNL_SUBSYS_QUEUE = 3;
const AF_UNSPEC = 0;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
export const NLMSG_ERROR = 2;

const PACKET = (NFNL_SUBSYS_QUEUE << 8) | 0;
const VERDICT = (NFNL_SUBSYS_QUEUE << 8) | 1;
const CONFIG = (NFNL_SUBSYS_QUEUE << 8) | 2;
const VERDICT_BATCH = (NFNL_SUBSYS_QUEUE << 8) | 3;

/** struct nlmsghdr and struct nfgenmsg. */
const HEADERS = 20;
const ATTRIBUTE_TYPE = 0x3fff;

/** enum nfqnl_attr_type */
const NFQA = {
  packetHeader: 1,
  verdictHeader: 2,
  mark: 3,
  indev: 5,
  outdev: 6,
  physIndev: 7,
  physOutdev: 8,
  hardwareAddress: 9,
  payload: 10,
  capturedOf: 13,
  skbInfo: 14,
} as const;
/** enum nfqnl_attr_config */
const CFG = { command: 1, params: 2, maxLength: 3, mask: 4, flags: 5 } as const;
const BIND = 1;
const COPY_PACKET = 2;
const FLAG_FAIL_OPEN = 1;
const FLAG_GSO = 4;

const CHECKSUM_NOT_READY = 1;
const IS_GSO = 2;

/** Verdicts (linux/netfilter.h). */
export const NF_DROP = 0;
export const NF_ACCEPT = 1;
export const NF_REPEAT = 4;
export type QueueVerdict = typeof NF_DROP | typeof NF_ACCEPT | typeof NF_REPEAT;

/** Verdict header with mark and the attribute header of a payload: what stands in front of a changed packet. */
export const VERDICT_BYTES = HEADERS + 12 + 8;
export const MANGLED_HEAD_BYTES = VERDICT_BYTES + 4;

/** One packet as the kernel queued it. The object is used again for the next one: keep nothing of it but values. */
export interface QueuedPacket {
  id: number;
  /** EtherType. */
  protocol: number;
  /** linux/netfilter.h: 0 PREROUTING, 1 INPUT, 2 FORWARD, 3 OUTPUT, 4 POSTROUTING. */
  hook: number;
  mark: number;
  /** Interface indexes; 0 where there is none. The physical ones are ports of a bridge. */
  indev: number;
  outdev: number;
  physIndev: number;
  physOutdev: number;
  /** The sender's link-layer address: where it stands in the buffer, and its bytes (0: none). */
  hardwareAt: number;
  hardwareBytes: number;
  /** Where the packet stands in the buffer, from its network header on. Below it are bytes free for a longer header. */
  at: number;
  length: number;
  /** Of the whole packet, when only its beginning was copied; else `length`. */
  wholeLength: number;
  /** The transport checksum is yet to be computed: rightly wrong, only with GSO. */
  checksumNotReady: boolean;
  gso: boolean;
}

export function emptyPacket(): QueuedPacket {
  return {
    ...{ id: 0, protocol: 0, hook: 0, mark: 0, indev: 0, outdev: 0, physIndev: 0, physOutdev: 0 },
    ...{ hardwareAt: 0, hardwareBytes: 0, at: 0, length: 0, wholeLength: 0 },
    ...{ checksumNotReady: false, gso: false },
  };
}

/**
 * Reads one datagram into `packet`.
 * @returns false when it is no packet
 */
export function readPacket(bytes: DataView, at: number, length: number, packet: QueuedPacket): boolean {
  if (length < HEADERS || bytes.getUint16(at + 4, true) !== PACKET) return false;
  forget(packet);
  const end = at + length;
  for (let next = at + HEADERS; next + 4 <= end; ) {
    const size = bytes.getUint16(next, true);
    if (size < 4 || next + size > end) break;
    readAttribute(bytes, bytes.getUint16(next + 2, true) & ATTRIBUTE_TYPE, next + 4, size - 4, packet);
    next += (size + 3) & ~3;
  }
  if (packet.wholeLength === 0) packet.wholeLength = packet.length;
  return true;
}

/** What a packet need not have. */
function forget(packet: QueuedPacket): void {
  packet.mark = 0;
  packet.indev = 0;
  packet.outdev = 0;
  packet.physIndev = 0;
  packet.physOutdev = 0;
  packet.hardwareBytes = 0;
  packet.length = 0;
  packet.wholeLength = 0;
  packet.checksumNotReady = false;
  packet.gso = false;
}

function readAttribute(
  bytes: DataView,
  type: number,
  at: number,
  length: number,
  packet: QueuedPacket,
): void {
  switch (type) {
    case NFQA.packetHeader:
      packet.id = bytes.getUint32(at);
      packet.protocol = bytes.getUint16(at + 4);
      packet.hook = bytes.getUint8(at + 6);
      return;
    case NFQA.mark:
      packet.mark = bytes.getUint32(at);
      return;
    case NFQA.indev:
      packet.indev = bytes.getUint32(at);
      return;
    case NFQA.outdev:
      packet.outdev = bytes.getUint32(at);
      return;
    case NFQA.physIndev:
      packet.physIndev = bytes.getUint32(at);
      return;
    case NFQA.physOutdev:
      packet.physOutdev = bytes.getUint32(at);
      return;
    case NFQA.hardwareAddress:
      packet.hardwareBytes = bytes.getUint16(at);
      packet.hardwareAt = at + 4;
      return;
    case NFQA.payload:
      packet.at = at;
      packet.length = length;
      return;
    case NFQA.capturedOf:
      packet.wholeLength = bytes.getUint32(at);
      return;
    case NFQA.skbInfo: {
      const info = bytes.getUint32(at);
      packet.checksumNotReady = (info & CHECKSUM_NOT_READY) !== 0;
      packet.gso = (info & IS_GSO) !== 0;
      return;
    }
    default: // of a newer kernel
  }
}

/** @returns the bytes of the message at `at` */
export function writeVerdict(
  bytes: DataView,
  at: number,
  queue: number,
  id: number,
  verdict: QueueVerdict,
  mark: number | undefined,
): number {
  return writeHead(bytes, at, VERDICT, queue, id, verdict, mark);
}

/** For every packet up to `id` that still waits. @returns the bytes of the message at `at` */
export function writeBatchVerdict(
  bytes: DataView,
  at: number,
  queue: number,
  id: number,
  verdict: QueueVerdict,
): number {
  return writeHead(bytes, at, VERDICT_BATCH, queue, id, verdict, undefined);
}

/**
 * A verdict with another packet in the old one's place. The packet stands in the buffer already, and MANGLED_HEAD_BYTES
 * in front of it are free: there the message begins, so that nothing is copied.
 * @returns the bytes of the message, which begins MANGLED_HEAD_BYTES before `at`
 */
export function writeMangledVerdict(
  bytes: DataView,
  at: number,
  length: number,
  queue: number,
  id: number,
  mark: number,
): number {
  const start = at - MANGLED_HEAD_BYTES;
  writeHead(bytes, start, VERDICT, queue, id, NF_ACCEPT, mark);
  bytes.setUint16(at - 4, length + 4, true);
  bytes.setUint16(at - 2, NFQA.payload, true);
  bytes.setUint32(start, MANGLED_HEAD_BYTES + length, true);
  return MANGLED_HEAD_BYTES + length;
}

function writeHead(
  bytes: DataView,
  at: number,
  type: number,
  queue: number,
  id: number,
  verdict: QueueVerdict,
  mark: number | undefined,
): number {
  const length = mark === undefined ? VERDICT_BYTES - 8 : VERDICT_BYTES;
  bytes.setUint32(at, length, true);
  bytes.setUint16(at + 4, type, true);
  bytes.setUint16(at + 6, NLM_F_REQUEST, true);
  bytes.setUint32(at + 8, 0);
  bytes.setUint32(at + 12, 0);
  bytes.setUint16(at + 16, AF_UNSPEC);
  bytes.setUint16(at + 18, queue);
  bytes.setUint16(at + 20, 12, true);
  bytes.setUint16(at + 22, NFQA.verdictHeader, true);
  bytes.setUint32(at + 24, verdict);
  bytes.setUint32(at + 28, id);
  if (mark === undefined) return length;
  bytes.setUint16(at + 32, 8, true);
  bytes.setUint16(at + 34, NFQA.mark, true);
  bytes.setUint32(at + 36, mark);
  return length;
}

export interface QueueSettings {
  readonly copyBytes: number;
  readonly maxLength: number;
  readonly gso: boolean;
}

/** Binds the queue and sets it up in one request. Fail-open is switched off in so many words. */
export function bindRequest(queue: number, { copyBytes, maxLength, gso }: QueueSettings): Buffer {
  const params = Buffer.alloc(5);
  params.writeUInt32BE(copyBytes);
  params.writeUInt8(COPY_PACKET, 4);
  const attributes = [
    attribute(CFG.command, Buffer.from([BIND, 0, 0, 0])),
    attribute(CFG.params, params),
    attribute(CFG.maxLength, uint32(maxLength)),
    attribute(CFG.mask, uint32(FLAG_FAIL_OPEN | FLAG_GSO)),
    attribute(CFG.flags, uint32(gso ? FLAG_GSO : 0)),
  ];
  const head = Buffer.alloc(HEADERS);
  const message = Buffer.concat([head, ...attributes]);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(CONFIG, 4);
  message.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6);
  message.writeUInt16BE(queue, 18);
  return message;
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((value.length + 7) & ~3);
  bytes.writeUInt16LE(value.length + 4, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
