/**
 * One queue's worker: reads packets, judges them, gives verdicts. Its thread blocks in the kernel, so it hears of news
 * through shared memory. When it dies, the kernel drops what its queue holds and what comes after, until another one reads.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type Nfqueue, openNfqueue } from '../../linux/nfqueue.ts';
import { NF_ACCEPT, NF_DROP, type QueuedPacket } from '../../linux/nfqueue-message.ts';
import { STRANGER_TAG } from '../../model/fence-probe.ts';
import {
  ALLOWED,
  endsAtGateway,
  type Judgement,
  judgeIn,
  judgeOut,
  keepHeaderLength,
  type Passage,
  TAGGED_BYTES,
} from './codec.ts';
import { writeRefusal } from './refusal.ts';
import { COUNTER, count, countForTenant, sharedMemory, WORD } from './shared.ts';
import { type FenceFacts, type FenceTables, tablesOf } from './tables.ts';

export interface WorkerTask {
  readonly queue: number;
  readonly shared: SharedArrayBuffer;
  readonly facts: FenceFacts;
}

/** linux/netfilter.h; packets of other hooks are nobody's business here. */
const PREROUTING = 0;
const POSTROUTING = 4;

/** Whole packets, segmented and with their checksums: a changed one goes back as it is. */
const OPTIONS = {
  copyBytes: 0xffff,
  maxLength: 4_096,
  gso: false,
  receiveBufferBytes: 16 * 2 ** 20,
  idleMs: 100,
};

/** Runs until it is told to stop. @throws SluiceError when the queue cannot be had */
export function runWorker({ queue: number, shared, facts }: WorkerTask, port: MessagePort): void {
  const memory = sharedMemory(shared);
  const { words, counters, log } = memory;
  let tables: FenceTables = tablesOf(facts);
  let taken = 0;

  function takeNews(): void {
    for (let news = receiveMessageOnPort(port); news !== undefined; news = receiveMessageOnPort(port)) {
      tables = tablesOf(news.message as FenceFacts);
      taken += 1;
    }
    Atomics.store(words, WORD.taken, taken);
  }

  using queue = openNfqueue(number, OPTIONS);
  const passage: Passage = { bytes: queue.bytes, at: 0, length: 0, mark: 0, tag: 0, changed: false };
  const handle = (packet: QueuedPacket): void => {
    if (Atomics.load(words, WORD.posted) !== taken) takeNews();
    passage.at = packet.at;
    passage.length = packet.length;
    passage.mark = packet.mark;
    const judgement = judge(tables, packet, passage);
    if (judgement === ALLOWED) {
      if (passage.changed) count(counters, packet.hook === POSTROUTING ? COUNTER.tagged : COUNTER.verified);
      letThrough(queue, packet, passage, tables);
      return;
    }
    count(counters, judgement);
    if (passage.tag >= STRANGER_TAG) passage.tag = 0; // what fence probes bear is nobody's
    countForTenant(memory, passage.tag, judgement);
    queue.decide(packet.id, NF_DROP);
    if (Atomics.load(words, WORD.watched) !== 0) writeRefusal(words, log, packet, judgement, passage);
  };

  Atomics.store(words, WORD.reading, 1);
  try {
    while (Atomics.load(words, WORD.stop) === 0) {
      const packets = queue.receive(handle);
      counters[COUNTER.packets] = (counters[COUNTER.packets] ?? 0) + packets;
      counters[COUNTER.overruns] = queue.faults.overruns;
      counters[COUNTER.refusedVerdicts] = queue.faults.refusedVerdicts;
      if (Atomics.load(words, WORD.posted) !== taken) takeNews();
    }
  } finally {
    Atomics.store(words, WORD.reading, 0);
  }
}

function judge(tables: FenceTables, packet: QueuedPacket, passage: Passage): Judgement {
  return packet.hook === PREROUTING ? judgeIn(tables, passage) : judgeOut(tables, passage);
}

function letThrough(queue: Nfqueue, packet: QueuedPacket, passage: Passage, tables: FenceTables): void {
  if (passage.changed) {
    if (packet.hook === PREROUTING && endsAtGateway(tables, passage)) keepHeaderLength(passage);
    padShort(passage);
    queue.acceptMangled(packet.id, passage.at, passage.length, passage.mark);
  } else if (passage.mark !== packet.mark) queue.decide(packet.id, NF_ACCEPT, passage.mark);
  else queue.decide(packet.id, NF_ACCEPT);
}

/**
 * The kernel drops a changed packet that ends before the place where the old one's header ended (nfqnl_mangle of
 * net/netfilter/nfnetlink_queue.c). So what is very short without its tag goes on with zeros behind it, as short frames
 * do on Ethernet; its total length says where it ends.
 */
function padShort(passage: Passage): void {
  for (; passage.length < TAGGED_BYTES; passage.length++)
    passage.bytes.setUint8(passage.at + passage.length, 0);
}

if (parentPort !== null) runWorker(workerData as WorkerTask, parentPort);
