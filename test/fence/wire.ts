/** A real wire for tests: a veth pair in a network namespace of its own, and raw frames on it. */
import { execFileSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { AF_PACKET, SOCK_RAW, sendto, socket } from '../../linux/libc.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../../linux/netlink.ts';
import { inNetns, type Netns, openNetns } from '../../linux/netns.ts';

/** `near` is where programs are attached; what goes into `far` comes out of `near`, and the other way round. */
export interface Wire extends Disposable {
  readonly name: string;
  readonly netns: Netns;
  readonly route: Netlink;
  readonly near: number;
  readonly far: number;
  /** Puts one whole frame on the wire at an interface of the namespace. */
  send(ifindex: number, frame: Uint8Array): void;
  /** Makes a further pair of interfaces; the first one's index comes back. */
  addPair(near: string, far: string): { near: number; far: number };
}

/** @param suffix  tells several wires of one test file apart */
export function layWire(suffix = ''): Wire {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  const name = `sluice-test-${process.pid}${suffix}`;
  const ip = (...args: string[]): string => execFileSync('ip', ['-n', name, ...args], { encoding: 'utf8' });
  execFileSync('ip', ['netns', 'add', name]);
  const netns = openNetns(`/run/netns/${name}`);
  const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  const raw = inNetns(netns, () => socket(AF_PACKET, SOCK_RAW, 0));

  const indexOf = (link: string): number => JSON.parse(ip('-j', 'link', 'show', link))[0].ifindex;
  function addPair(near: string, far: string): { near: number; far: number } {
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far);
    for (const link of [near, far]) {
      execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', `net.ipv6.conf.${link}.disable_ipv6=1`]);
      ip('link', 'set', link, 'up');
    }
    return { near: indexOf(near), far: indexOf(far) };
  }

  return {
    name,
    netns,
    route,
    ...addPair('near0', 'far0'),
    addPair,
    send: (ifindex, frame) => {
      sendto(raw, frame, 0, addressOf(ifindex, frame));
    },
    [Symbol.dispose]: () => {
      route.close();
      closeSync(raw);
      netns[Symbol.dispose]();
      execFileSync('ip', ['netns', 'del', name]);
    },
  };
}

/** struct sockaddr_ll (linux/if_packet.h): family, protocol as in the frame, index. */
function addressOf(ifindex: number, frame: Uint8Array): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.set(frame.subarray(12, 14), 2);
  address.writeInt32LE(ifindex, 4);
  return address;
}

/** Waits until something holds, for at most five seconds. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + 5_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
