/** A refused packet, written down as the eBPF programs do it (struct drop of tagqueue/bpf/maps.h), for one reader: drop-record.ts. */
import type { QueuedPacket } from '../../linux/nfqueue-message.ts';
import { DROP_BYTES } from '../drop-record.ts';
import type { Judgement, Passage } from './codec.ts';
import { LOG_RECORDS, WORD } from './shared.ts';

const HOOK_UPLINK_IN = 3;
const HOOK_UPLINK_OUT = 4;
const POSTROUTING = 4;
const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const HEAD_BYTES = 64;
const NANOSECONDS = 1e6;
/** What performance.now() lacks of the kernel's monotonic clock, which counts from boot. */
const SINCE_BOOT_MS = Number(process.hrtime.bigint()) / NANOSECONDS - performance.now();

/** The record takes the oldest one's place. A reader that is too slow misses some, and can tell by the count. */
export function writeRefusal(
  words: Int32Array,
  log: DataView,
  packet: QueuedPacket,
  judgement: Judgement,
  passage: Passage,
): void {
  const written = Atomics.load(words, WORD.written) >>> 0;
  const at = (written % LOG_RECORDS) * DROP_BYTES;
  const leaving = packet.hook === POSTROUTING;
  const now = (SINCE_BOOT_MS + performance.now()) * NANOSECONDS;
  log.setUint32(at, now % 2 ** 32, true);
  log.setUint32(at + 4, now / 2 ** 32, true);
  log.setUint32(at + 8, leaving ? packet.outdev : packet.indev, true);
  log.setUint32(at + 12, passage.tag, true);
  log.setUint16(at + 16, judgement, true);
  log.setUint16(at + 18, Math.min(packet.wholeLength + ETHERNET_BYTES, 0xffff), true);
  log.setUint8(at + 20, leaving ? HOOK_UPLINK_OUT : HOOK_UPLINK_IN);
  const copied = Math.min(passage.length, HEAD_BYTES - ETHERNET_BYTES);
  log.setUint8(at + 21, ETHERNET_BYTES + copied);
  log.setUint16(at + 22, 0);
  writeHead(log, at + 24, passage, packet, copied);
  Atomics.store(words, WORD.written, (written + 1) | 0);
}

/** The Ethernet header is not queued with the packet; of it only the sender's address is known, on the way in. */
function writeHead(
  log: DataView,
  at: number,
  { bytes, at: packetAt }: Passage,
  { hardwareAt, hardwareBytes }: QueuedPacket,
  copied: number,
): void {
  for (let i = 0; i < 6; i++) {
    log.setUint8(at + i, 0);
    log.setUint8(at + 6 + i, i < hardwareBytes ? bytes.getUint8(hardwareAt + i) : 0);
  }
  log.setUint16(at + 12, ETHERTYPE_IPV4);
  for (let i = 0; i < copied; i++) log.setUint8(at + ETHERNET_BYTES + i, bytes.getUint8(packetAt + i));
}
