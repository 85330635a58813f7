/** Which attacks a variant has to survive. */
import type { DropReason } from '../../../tagqueue/reasons.ts';
import { dropsOn, type Suite } from '../attack.ts';
import type { Variant } from '../variants.ts';
import { worldForFile } from '../world.ts';
import { everyEtherType } from './ethertypes.ts';
import { fragments } from './fragments.ts';
import { fuzz } from './fuzz.ts';
import { otherProtocols } from './ipv6.ts';
import { identity } from './l2-identity.ts';
import { neighbours } from './neighbours.ts';
import { tags } from './tags.ts';
import { tunnel } from './tunnel.ts';

/** All of them, in one lab. Last come those that change something in red's containers. */
export function everySuite(prefix: string, variant: Variant): void {
  const world = worldForFile(prefix, variant);
  for (const suite of [
    identity,
    everyEtherType,
    tags,
    tunnel,
    fragments,
    fuzz,
    otherProtocols,
    neighbours,
    told,
  ])
    suite(world);
}

/** What the attacks go by is what an operator gets to see. */
const told: Suite = (world) =>
  it('`sluice drops` prints what the daemon has counted', async () => {
    for (const node of ['a', 'b'] as const) {
      const before = await dropsOn(world(), node);
      const { stdout } = await world().lab.node(node).sluice(['drops', '--json']);
      const after = await dropsOn(world(), node);
      const counts = JSON.parse(stdout) as { reason: DropReason; packets: number }[];
      expect(counts.length).toBeGreaterThan(0);
      for (const { reason, packets } of counts) {
        expect(packets).toBeGreaterThanOrEqual(before.get(reason)!);
        expect(packets).toBeLessThanOrEqual(after.get(reason)!);
      }
    }
  });

/** Those to which it makes a difference how a packet gets from port to port and to the wire. */
export function suitesOfTheWay(prefix: string, variant: Variant): void {
  const world = worldForFile(prefix, variant);
  for (const suite of [tags, tunnel, fragments, fuzz, neighbours]) suite(world);
}
