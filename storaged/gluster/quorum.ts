/** The quorum `auto` of a replica set (docs/gluster.md): AFR's cluster.quorum-type. Pure. */

/** @param there  of each brick of the set, in order. Of just half of them the first has the casting vote */
export function hasQuorum(there: readonly boolean[]): boolean {
  const count = there.filter(Boolean).length;
  return count * 2 > there.length || (count * 2 === there.length && there[0] === true);
}
