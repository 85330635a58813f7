/** Hears of changes to nftables in a network namespace, whoever makes them. */
import { closeSync } from 'node:fs';
import { bind, MSG_DONTWAIT, receive, SOCK_CLOEXEC, SOCK_RAW, socket } from './libc.ts';

const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;
/** linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES is group 7: its bit in the socket's address. */
const GROUPS = 1 << 6;
const SOCKADDR_NL_BYTES = 12;
/** A look costs a microsecond; a handle that waits for the socket would keep the process alive. */
const POLL_MS = 20;

export interface NftWatch {
  close(): void;
}

/**
 * Opens in the current network namespace.
 * @param changed  called within 20 ms of any change, once for all that came meanwhile
 */
export function watchNftables(changed: () => void): NftWatch {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK);
  address.writeUInt32LE(GROUPS, 8);
  bind(fd, address);
  const into = Buffer.alloc(65_536);

  /** Overruns (ENOBUFS) are news as well: something has changed that we were not told of. */
  function look(): boolean {
    try {
      return receive(fd, into, MSG_DONTWAIT) !== undefined;
    } catch {
      return true;
    }
  }
  const timer = setInterval(() => {
    let news = false;
    while (look()) news = true;
    if (news) changed();
  }, POLL_MS);
  timer.unref();
  return {
    close(): void {
      clearInterval(timer);
      closeSync(fd);
    },
  };
}
