/** Reads the trees of rates from the kernel, as plain records. */
import { isOurTree, type ListedClass, type ListedQdisc, listClasses, listQdiscs } from '../../linux/htb.ts';
import type { Netlink } from '../../linux/netlink.ts';
import type { BoundPort, RateSite, TreeId } from './site.ts';
import { TREES } from './site.ts';
import type { ObservedTree } from './tree.ts';

/** A tree with what has passed it. */
export interface SeenTree extends ObservedTree {
  readonly id: TreeId;
  /** The interface at whose egress it stands. */
  readonly ifindex: number;
  readonly listed: ReadonlyMap<number, ListedClass>;
  /** What each leaf's queue has dropped, by class. */
  readonly dropped: ReadonlyMap<number, number>;
}

/** @returns the trees of the sides that have a shaper. */
export async function observeTrees(route: Netlink, site: RateSite): Promise<SeenTree[]> {
  const shapers = { internal: await site.shaper('internal'), external: await site.shaper('external') };
  const places = TREES.flatMap((id) => {
    const shaper = shapers[id.side];
    return shaper === undefined ? [] : [{ id, ifindex: shaper[id.direction] }];
  });
  const ports = await site.ports();
  const qdiscs = await listQdiscs(route);
  const seen: SeenTree[] = [];
  for (const { id, ifindex } of places) {
    const own = qdiscs.filter((qdisc) => qdisc.ifindex === ifindex);
    const root = own.some(isOurTree);
    seen.push(treeOf(id, ifindex, own, root ? await listClasses(route, ifindex) : [], ports));
  }
  return seen;
}

function treeOf(
  id: TreeId,
  ifindex: number,
  qdiscs: readonly ListedQdisc[],
  classes: readonly ListedClass[],
  ports: ReadonlyMap<number, BoundPort>,
): SeenTree {
  const byHandle = new Map(qdiscs.map((qdisc) => [qdisc.handle, qdisc]));
  return {
    id,
    ifindex,
    root: qdiscs.some(isOurTree),
    classes: new Map(
      classes.map(({ minor, parent, rate, ceil, leaf }) => [
        minor,
        { minor, parent, rate, ceil, queue: byHandle.get(leaf)?.queue },
      ]),
    ),
    ports: new Map(
      [...ports].flatMap(([port, { side, classes: led }]) =>
        side === id.side ? [[port, led[id.direction]] as const] : [],
      ),
    ),
    listed: new Map(classes.map((one) => [one.minor, one])),
    dropped: new Map(classes.map(({ minor, leaf }) => [minor, byHandle.get(leaf)?.dropped ?? 0])),
  };
}
