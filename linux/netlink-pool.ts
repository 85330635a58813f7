/**
 * Netlink requests at which the kernel works for long: it does so inside `sendmsg`, so they are
 * sent from libuv's pool, and this thread goes on meanwhile.
 */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { MSG_DONTWAIT, receive, SOCK_CLOEXEC, SOCK_RAW, socket } from './libc.ts';

const AF_NETLINK = 16;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const HEADER_BYTES = 16;
/** An acknowledgement repeats the request. */
const RECEIVE_BYTES = 4096;

const send = koffi
  .load('libc.so.6')
  .func('intptr_t send(int fd, const uint8_t *data, uintptr_t length, int flags)');

export interface PoolNetlink {
  /** @returns why the kernel refused, such as 'ENODEV'; undefined when it did not */
  request(type: number, payload: Buffer): Promise<string | undefined>;
  close(): void;
}

/** Opens in the current network namespace. */
export function openPoolNetlink(family: number): PoolNetlink {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  const errors = new Map<number, number>();
  let lastSequence = 0;

  return {
    async request(type, payload): Promise<string | undefined> {
      const sequence = ++lastSequence;
      await sendFromPool(fd, message(type, sequence, payload));
      collect(fd, errors);
      const error = errors.get(sequence);
      errors.delete(sequence);
      return error ? getSystemErrorName(error) : undefined;
    },
    close: () => closeSync(fd),
  };
}

/** struct nlmsghdr and payload. */
function message(type: number, sequence: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, payload]);
}

function sendFromPool(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    send.async(fd, data, data.length, 0, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

/** Reads every acknowledgement that is there: sequence → negative errno, 0 for done. */
function collect(fd: number, into: Map<number, number>): void {
  const datagram = Buffer.alloc(RECEIVE_BYTES);
  let length = receive(fd, datagram, MSG_DONTWAIT);
  while (length !== undefined) {
    if (length >= HEADER_BYTES + 4) into.set(datagram.readUInt32LE(8), datagram.readInt32LE(HEADER_BYTES));
    length = receive(fd, datagram, MSG_DONTWAIT);
  }
}
