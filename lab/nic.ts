/** Lets the two ends of a cable behave like network cards of two machines. */
import os from 'node:os';
import { namesIn } from '../linux/directories.ts';
import { readTextIfThere } from '../linux/files.ts';
import { runOk } from '../linux/process.ts';
import { UPLINK } from './topology.ts';

/** Packets that wait when the other end's ring is full. A veth without a queue drops them (drivers/net/veth.c). */
const QUEUE_PACKETS = 1_000;

/**
 * A veth hands over packets of 64 KB and lets the sender's CPU do the receiver's work. These ends send single
 * packets and merge them on arrival (GRO), each in a thread on a CPU of its own, the first end's on CPU 0.
 * @param namespaces  of the two ends; each is called {@link UPLINK}
 */
export async function makeNics(namespaces: readonly string[]): Promise<void> {
  for (const [index, namespace] of namespaces.entries()) {
    const inside = ['ip', 'netns', 'exec', namespace] as const;
    await runOk([...inside, 'ethtool', '-K', UPLINK, 'tso', 'off', 'gso', 'off', 'gro', 'on']);
    await runOk([
      ...inside,
      'tc',
      'qdisc',
      'add',
      'dev',
      UPLINK,
      'root',
      'pfifo',
      'limit',
      `${QUEUE_PACKETS}`,
    ]);
    const before = new Set(napiThreads());
    await runOk([...inside, 'sh', '-c', `echo 1 > /sys/class/net/${UPLINK}/threaded`]);
    const cpu = index % os.availableParallelism();
    for (const pid of napiThreads().filter((one) => !before.has(one))) {
      await runOk(['taskset', '--pid', '--cpu-list', String(cpu), pid]);
    }
  }
}

/** Process ids of the kernel threads that receive for interfaces called as ours are (net/core/dev.c names them). */
export function napiThreads(): string[] {
  return namesIn('/proc').filter(
    (pid) => /^\d+$/.test(pid) && readTextIfThere(`/proc/${pid}/comm`)?.startsWith(`napi/${UPLINK}-`),
  );
}
