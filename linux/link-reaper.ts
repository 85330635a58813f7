/**
 * Takes links away without holding the process up. The kernel takes a veth pair out of view in
 * about 6 ms, but acknowledges only after every CPU has forgotten it, 20 ms and more; the
 * request is therefore sent from a pool thread, and done means out of view.
 */
import { createNetlink } from 'netlink';
import { linkGroupRemoval, RTM_DELLINK } from './links.ts';
import { NETLINK_ROUTE, NetlinkError } from './netlink.ts';
import { openPoolNetlink } from './netlink-pool.ts';

const AF_UNSPEC = 0;
const RTNLGRP_LINK = 1;

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
  const pool = openPoolNetlink(NETLINK_ROUTE);
  const departures = watchDepartures();

  async function request(group: number): Promise<void> {
    const errno = await pool.request(RTM_DELLINK, linkGroupRemoval(group));
    if (errno !== undefined && errno !== 'ENODEV')
      throw new NetlinkError(`remove link group ${group}`, errno, '');
  }

  return {
    async reap(group, indexes): Promise<void> {
      const acknowledged = request(group);
      if (indexes.length === 0) return acknowledged;
      // Whichever comes first; a refusal after the links are gone is nobody's concern.
      acknowledged.catch(() => undefined);
      await Promise.race([acknowledged, departures.of(indexes)]);
      departures.forget(indexes);
    },
    close(): void {
      departures.close();
      pool.close();
    },
  };
}

interface Departures {
  /** Resolves when all of them have left. */
  of(indexes: readonly number[]): Promise<unknown>;
  /** Ends the wait for those that have not. */
  forget(indexes: readonly number[]): void;
  close(): void;
}

/** Tells when links leave the view. Lost notifications cost time only: the acknowledgement follows. */
function watchDepartures(): Departures {
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
    forget: (indexes) => {
      for (const index of indexes) waiting.delete(index);
    },
    close: () => monitor.close(),
  };
}
