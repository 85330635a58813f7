/** The guard's thread: reads queued packets, decides, reports. It blocks in the kernel, so it has a thread of its own. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { mapById } from '../../linux/bpf.ts';
import { type Nfqueue, openNfqueue } from '../../linux/nfqueue.ts';
import { NF_ACCEPT, NF_DROP, NF_REPEAT, type QueuedPacket } from '../../linux/nfqueue-message.ts';
import { openNftElements } from '../../linux/nft-elements.ts';
import { SluiceError } from '../../model/errors.ts';
import { tableHolderFinder } from '../nfqueue/holders.ts';
import { holderFinder } from './holders.ts';
import { Judge } from './judge.ts';
import type { FromWorker, PortsPlace, ToWorker, WorkerSettings } from './messages.ts';

/** The beginning of a packet that is copied here: more than that no ClientHello has in one segment. */
const COPY_BYTES = 0xffff;
/** Packets that wait; further ones are dropped, and TCP tries again. */
const QUEUE_LENGTH = 4_096;
const RECEIVE_BUFFER_BYTES = 16 * 2 ** 20;
/** Also the longest time until a message from the daemon is read. */
const IDLE_MS = 20;
const REPORT_EVERY_MS = 100;

function run(settings: WorkerSettings): void {
  using opened = new DisposableStack();
  const judge = new Judge(holdersOf(settings.ports, opened));
  // Without rules nobody can be told apart from somebody who has none: nothing is read before they are here.
  waitForStart(judge);
  const { queue: number, markMask } = settings;
  const options = { copyBytes: COPY_BYTES, maxLength: QUEUE_LENGTH, gso: true };
  using queue = openNfqueue(number, {
    ...options,
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    idleMs: IDLE_MS,
  });
  tell({ kind: 'ready' });
  let reportedAt = performance.now();
  while (listen(judge)) {
    queue.receive((packet) => decide(queue, judge, packet, markMask));
    const now = performance.now();
    if (now - reportedAt < REPORT_EVERY_MS) continue;
    reportedAt = now;
    judge.expire(now);
    tell(judge.report());
  }
}

function holdersOf(place: PortsPlace, opened: DisposableStack): ReturnType<typeof holderFinder> {
  if ('table' in place) return tableHolderFinder(opened.use(openNftElements()), place.table);
  const ports = mapById(place.map);
  if (ports === undefined) throw gone();
  return holderFinder(opened.use(ports));
}

function decide(queue: Nfqueue, judge: Judge, packet: QueuedPacket, markMask: number): void {
  const bytes = Buffer.from(queue.bytes.buffer, packet.at, packet.length);
  const ruling = judge.judge(bytes, performance.now(), Date.now());
  const mark = ((packet.mark & ~markMask) | ruling.mark) >>> 0;
  switch (ruling.do) {
    case 'release':
      // Through the same chain again: there the mark is saved in the connection, and the queue left aside.
      queue.decide(packet.id, NF_REPEAT, mark);
      break;
    case 'pass':
      queue.decide(packet.id, NF_ACCEPT, mark);
      break;
    case 'refuse':
      // Without a mark it goes no further than the node's table, which resets the connection.
      queue.decide(packet.id, NF_ACCEPT);
      break;
    case 'drop':
      queue.decide(packet.id, NF_DROP);
      break;
  }
}

function waitForStart(judge: Judge): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const message = nextMessage();
    if (message === undefined) Atomics.wait(sleeper, 0, 0, IDLE_MS);
    else if (take(judge, message) === 'begin') return;
  }
}

/** @returns whether to go on */
function listen(judge: Judge): boolean {
  for (let message = nextMessage(); message !== undefined; message = nextMessage()) {
    if (take(judge, message) === 'stop') return false;
  }
  return true;
}

function take(judge: Judge, message: ToWorker): ToWorker['kind'] {
  if (message.kind === 'rules') {
    judge.setRules(message.tenants);
    tell({ kind: 'taken' });
  }
  if (message.kind === 'flows') {
    const now = performance.now();
    judge.setFlows(message.tag, message.keys, message.at - performance.timeOrigin, now);
  }
  return message.kind;
}

function nextMessage(): ToWorker | undefined {
  return (parentPort && receiveMessageOnPort(parentPort))?.message as ToWorker | undefined;
}

function tell(message: FromWorker): void {
  parentPort?.postMessage(message);
}

function gone(): SluiceError {
  return new SluiceError(
    'try_again',
    "the node's plane was replaced",
    'the guard is started again by itself',
  );
}

run(workerData as WorkerSettings);
