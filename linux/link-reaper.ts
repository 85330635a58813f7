/**
 * Takes links away without holding the process up. The kernel takes a veth pair out of view in
 * about 6 ms, but acknowledges only after every CPU has forgotten it, 20 ms and more; the
 * request is therefore sent from a pool thread, and done means out of view.
 */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { createNetlink } from 'netlink';
import { MSG_DONTWAIT, receive, SOCK_CLOEXEC, SOCK_RAW, socket } from './libc.ts';
import { linkGroupRemoval, RTM_DELLINK } from './links.ts';
import { NETLINK_ROUTE, NetlinkError } from './netlink.ts';

const AF_NETLINK = 16;
const AF_UNSPEC = 0;
const RTNLGRP_LINK = 1;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const HEADER_BYTES = 16;

const send = koffi
  .load('libc.so.6')
  .func('intptr_t send(int fd, const uint8_t *data, uintptr_t length, int flags)');

export interface LinkReaper {
  /**
   * Removes every link of a group, and their peers with them.
   *
   * @param group    never 0, the group of all the machine's other links
   * @param indexes  the links known to be in it; resolves when none of them can be seen any more
   * @throws NetlinkError when the kernel refuses; a group that is empty already is no error
   */
  reap(group: number, indexes: readonly number[]): Promise<void>;
  close(): void;
}

/** Opens in the current network namespace. */
export function openLinkReaper(): LinkReaper {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  const departures = watchDepartures();
  const refusals = new Map<number, number>();
  let lastSequence = 0;

  async function request(group: number): Promise<void> {
    const sequence = ++lastSequence;
    await sendFromPool(fd, message(linkGroupRemoval(group), sequence));
    collectAnswers(fd, refusals);
    const errno = refusals.get(sequence) ?? 0;
    refusals.delete(sequence);
    if (errno !== 0 && getSystemErrorName(errno) !== 'ENODEV') {
      throw new NetlinkError(`remove link group ${group}`, getSystemErrorName(errno), '');
    }
  }

  return {
    async reap(group, indexes): Promise<void> {
      const acknowledged = request(group);
      if (indexes.length === 0) return acknowledged;
      // Whichever comes first; a refusal after the links are gone is nobody's concern.
      acknowledged.catch(() => undefined);
      await Promise.race([acknowledged, departures.of(indexes)]);
    },
    close(): void {
      departures.close();
      closeSync(fd);
    },
  };
}

/** Tells when links leave the view. Lost notifications cost time only: the acknowledgement follows. */
function watchDepartures(): { of(indexes: readonly number[]): Promise<unknown>; close(): void } {
  const waiting = new Map<number, () => void>();
  const monitor = createNetlink(NETLINK_ROUTE, {
    ref: true,
    recvBufferSize: 1 << 20,
    sendBufferSize: 1 << 16,
  });
  monitor.addMembership(RTNLGRP_LINK);
  monitor.on('error', () => undefined);
  monitor.on('message', (messages) => {
    for (const { type, data } of messages) {
      // The same message of family AF_BRIDGE says only that the link has left its bridge.
      if (type !== RTM_DELLINK || data[0] !== AF_UNSPEC) continue;
      const index = data.readInt32LE(4);
      waiting.get(index)?.();
      waiting.delete(index);
    }
  });
  return {
    of: (indexes) =>
      Promise.all(indexes.map((index) => new Promise<void>((resolve) => waiting.set(index, resolve)))),
    close: () => monitor.close(),
  };
}

/** struct nlmsghdr before the payload. */
function message(payload: Buffer, sequence: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + payload.length, 0);
  header.writeUInt16LE(RTM_DELLINK, 4);
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
function collectAnswers(fd: number, into: Map<number, number>): void {
  const answer = Buffer.alloc(4096);
  for (
    let length = receive(fd, answer, MSG_DONTWAIT);
    length !== undefined;
    length = receive(fd, answer, MSG_DONTWAIT)
  ) {
    if (length >= HEADER_BYTES + 4) into.set(answer.readUInt32LE(8), answer.readInt32LE(HEADER_BYTES));
  }
}
