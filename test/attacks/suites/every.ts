/** Which attacks a variant has to survive. */
import { localClient } from '../../../linux/api-client.ts';
import type { DropReason } from '../../../tagqueue/reasons.ts';
import { dropsOn, type Suite } from '../attack.ts';
import type { Variant } from '../variants.ts';
import { worldForFile } from '../world.ts';
import { quotedTags } from './errors.ts';
import { everyEtherType } from './ethertypes.ts';
import { floodedWire } from './flooding.ts';
import { fragments } from './fragments.ts';
import { fuzz } from './fuzz.ts';
import { otherProtocols } from './ipv6.ts';
import { identity } from './l2-identity.ts';
import { neighbours } from './neighbours.ts';
import { tags } from './tags.ts';
import { noTunnel, tunnel } from './tunnel.ts';

/** All of them, in one lab. Last come those that change something in red's containers. */
export function everySuite(prefix: string, variant: Variant): void {
  const world = worldForFile(prefix, variant);
  // Tunnels are believed by the programs only.
  const tunnels = variant.plane === 'ebpf' ? tunnel : noTunnel;
  const errors: Suite = (one) => quotedTags(one, variant.accepted);
  for (const suite of [
    asTold,
    identity,
    everyEtherType,
    tags,
    tunnels,
    errors,
    fragments,
    fuzz,
    otherProtocols,
    neighbours,
    floodedWire,
    told,
  ])
    suite(world);
}

/** What is attacked is what the variant says. */
const asTold: Suite = (world) =>
  it('both nodes enforce by the plane and the way that are to be attacked', async () => {
    const { lab, variant } = world();
    for (const { runDir } of lab.nodes) {
      const client = localClient(`${runDir}/tagqueue.sock`);
      try {
        const status = await client.request('GET', '/v1/status');
        expect(status).toMatchObject({ plane: variant.plane, fastPath: { on: variant.fastPath } });
      } finally {
        client.close();
      }
    }
  });

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
  for (const suite of [asTold, tags, tunnel, fragments, fuzz, neighbours]) suite(world);
}
