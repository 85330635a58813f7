/** Carries out the plan of a tree. Every step may be repeated. */
import {
  addHtb,
  listClasses,
  removeClass,
  removeRootQdisc,
  setClass,
  setLeafQueue,
} from '../../linux/htb.ts';
import type { Netlink } from '../../linux/netlink.ts';
import { openedWide, type TreePlan } from './tree.ts';

/** An opened class is empty after microseconds; should it not be after this long, the port goes past it anyway. */
const EMPTY_WITHIN_MS = 250;
const LOOK_EVERY_MS = 2;

/** How a port is led in one direction. */
export type Lead = (ifindex: number, minor: number) => Promise<void>;

/**
 * Makes or changes classes and leads ports through them. All messages are under way together: the kernel takes those
 * of one socket in the order in which they were sent.
 * @returns by class why the kernel refused it; its port is not led there
 * @throws SluiceError `kernel_refused` when there can be no tree at all
 */
export async function applyTree(
  route: Netlink,
  ifindex: number,
  plan: TreePlan,
  lead: Lead,
): Promise<Map<number, unknown>> {
  if (plan.plant) {
    await removeRootQdisc(route, ifindex);
    await addHtb(route, ifindex);
  }
  const refused = new Map<number, unknown>();
  const steps = [
    ...plan.classes.map((change) => ({ minor: change.minor, done: setClass(route, ifindex, change) })),
    ...plan.queues.map(({ minor, queue }) => ({ minor, done: setLeafQueue(route, ifindex, minor, queue) })),
  ];
  await Promise.all(
    steps.map(({ minor, done }) => done.catch((error: unknown) => refused.set(minor, error))),
  );
  const made = plan.lead.filter(({ minor }) => !refused.has(minor));
  await Promise.all(made.map(({ ifindex: port, minor }) => lead(port, minor)));
  return refused;
}

/** Takes limits off: nothing that waits is lost, and nothing overtakes it. */
export async function liftFrom(
  route: Netlink,
  ifindex: number,
  plan: TreePlan,
  lead: Lead,
  forget: (minor: number) => Promise<void>,
): Promise<void> {
  const wide = plan.lift.flatMap((lifted) => openedWide(lifted, plan.remove));
  await Promise.all(wide.map((change) => setClass(route, ifindex, change)));
  const lifted = new Set(plan.lift.map(({ minor }) => minor));
  await empty(route, ifindex, lifted);
  await Promise.all(plan.lift.map(({ ifindex: port }) => lead(port, 0)));
  await empty(route, ifindex, lifted);
  for (const minor of plan.remove) {
    await forget(minor);
    await removeClass(route, ifindex, minor);
  }
}

async function empty(route: Netlink, ifindex: number, minors: ReadonlySet<number>): Promise<void> {
  if (minors.size === 0) return;
  const until = performance.now() + EMPTY_WITHIN_MS;
  for (;;) {
    const waiting = (await listClasses(route, ifindex)).some(
      ({ minor, backlog }) => minors.has(minor) && backlog > 0,
    );
    if (!waiting || performance.now() > until) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
