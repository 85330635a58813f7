/** What only a real interface shows: tags that the kernel takes off before the programs see them, and frames cut short. */

import { ethernetFrame } from '../../linux/frames.ts';
import { addClsact, attachProgram } from '../../linux/tc.ts';
import type { ProgramName } from '../../tagqueue/maps.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { furnish } from '../fence/furnish.ts';
import { eventually, layWire, type Wire } from '../fence/wire.ts';
import { fromOwn, NEIGHBOUR_MAC, OWN_MAC, onWire, sent, toRemote } from '../fence/world.ts';
import { ETHERTYPE } from '../frames.ts';

const builds = new FenceBuilds();
let wire: Wire;

beforeAll(() => {
  wire = layWire();
});
afterAll(() => {
  wire[Symbol.dispose]();
  builds[Symbol.dispose]();
});

async function guard(program: ProgramName, without?: DropReason): Promise<Fence> {
  const fence = loadFence(builds.build(without));
  furnish(fence, wire.near, {});
  await addClsact(wire.route, wire.near);
  await attachProgram(wire.route, {
    ifindex: wire.near,
    direction: program.endsWith('_in') ? 'ingress' : 'egress',
    programFd: fence.program(program).fd,
    name: `sluice_${program}`,
  });
  return fence;
}

/** Comes after the frame in question and is refused for certain: once it is counted, the other was judged. */
const marker = ethernetFrame(NEIGHBOUR_MAC, OWN_MAC, ETHERTYPE.ipv4, Buffer.alloc(46));

async function refusedOnTheWayIn(fence: Fence, frame: Buffer): Promise<Partial<Record<DropReason, number>>> {
  wire.send(wire.far, frame);
  wire.send(wire.far, marker);
  const drops = await eventually('the marker is counted', () =>
    fence.drops().source_mac ? fence.drops() : undefined,
  );
  const { source_mac: _marker, ...others } = drops;
  return others;
}

const inVlan = (id: number): Buffer =>
  fromOwn(ETHERTYPE.vlan, Buffer.concat([Buffer.from([0, id, 0x08, 0]), sent({}).subarray(14)]));
const CUT_OFF = 14 + 19;

describe.each([0, 5])('a frame within VLAN %i, whose tag the kernel has taken off', (id) => {
  it('is refused', async () => {
    using fence = await guard('port_in');
    expect(await refusedOnTheWayIn(fence, inVlan(id))).toEqual({ vlan: 1 });
  });

  it('would pass without that check', async () => {
    using mutant = await guard('port_in', 'vlan');
    expect(await refusedOnTheWayIn(mutant, inVlan(id))).toEqual({});
  });
});

describe('an IPv4 header cut off', () => {
  it('is refused at the port', async () => {
    using fence = await guard('port_in');
    expect(await refusedOnTheWayIn(fence, sent({}).subarray(0, CUT_OFF))).toEqual({ malformed: 1 });
  });

  it('is refused from the wire', async () => {
    using fence = await guard('uplink_in');
    wire.send(wire.far, onWire({}).subarray(0, CUT_OFF));
    await eventually('it is counted', () => fence.drops().malformed);
    expect(fence.drops()).toEqual({ malformed: 1 });
  });

  it('is refused on the way to the wire', async () => {
    using fence = await guard('uplink_out');
    expect(() => wire.send(wire.near, toRemote().subarray(0, CUT_OFF))).toThrow('ENOBUFS');
    expect(fence.drops()).toEqual({ malformed: 1 });
  });
});
