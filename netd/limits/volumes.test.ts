import type { Endpoint } from '../../model/endpoint.ts';
import type { Limits } from '../../model/limits.ts';
import { UNLIMITED_VOLUME, type VolumeRates } from '../../model/mount-limits.ts';
import type { ContainerId, NodeName } from '../../model/names.ts';
import { emptyPlan } from '../../model/plan.ts';
import type { MountId } from '../../model/volume.ts';
import { aSwitch, HOUR, SimulatedNode } from '../../test/support/limits-world.ts';
import { anEndpoint } from '../../test/support/samples.ts';
import { aVolumeId } from '../../test/support/simulated-storaged.ts';
import { createReports } from './report.ts';

const C1 = 'c1' as ContainerId;
const MB = 1_000_000;

let node: SimulatedNode;
let web: Endpoint;
let data: MountId;
beforeEach(async () => {
  node = await SimulatedNode.start();
  web = anEndpoint(1, { app: 'cart' });
  node.attach(web);
  node.volume(1, { 'volume.read': 20 * MB });
  data = node.storaged.mount(1, C1);
  await node.round();
});

const held = (id = data): object | null => node.storaged.mounts.get(id)!.held;
const rates = (limits: Partial<VolumeRates>): VolumeRates => ({ ...UNLIMITED_VOLUME, ...limits });
const picture = () => node.keeper.pictures()[0]!;
const plan = (container: Limits, share: Limits = {}): void =>
  node.plan({ ...emptyPlan(web.tenant), container, share });
const slower = aSwitch('slow', { 'volume.read': { do: 'scale', factor: 0.5 } });

describe('the limits of a mount', () => {
  it('are what was said of its container, else of it, else of its volume, else of its tenant’s containers', async () => {
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB }));
    plan({ 'volume.read': 3 * MB, 'volume.writeOps': 300 });
    node.volume(2, { 'volume.write': 9 * MB });
    const other = node.storaged.mount(2, C1, {}, { 'volume.write': 5 * MB });
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB, 'volume.writeOps': 300 }));
    const own = { 'volume.read': 3 * MB, 'volume.write': 5 * MB, 'volume.writeOps': 300 };
    expect(held(other)).toEqual(rates(own));
    await node.keeper.setOperator(web, { 'volume.write': MB, 'volume.read': null });
    await node.round();
    expect(held()).toEqual(rates({ 'volume.write': MB, 'volume.writeOps': 300 }));
    expect(held(other)).toEqual(rates({ 'volume.write': MB, 'volume.writeOps': 300 }));
    expect(picture().mounts.map(({ desired }) => desired.origin)).toEqual([
      expect.objectContaining({ 'volume.write': 'app', 'volume.writeOps': 'plan', 'volume.readOps': 'none' }),
      expect.objectContaining({ 'volume.read': 'app', 'volume.write': 'app' }),
    ]);
    await node.keeper.setOperator(web, {});
    node.volume(1, { 'volume.read': 10 * MB });
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB, 'volume.writeOps': 300 }));
    expect(picture().mounts.map(({ desired }) => desired.origin['volume.read'])).toEqual(['volume', 'plan']);
    expect(picture().mounts[1]!.desired.origin['volume.write']).toBe('mount');
  });

  it('are changed by a switch while it is open, and come back to what they were', async () => {
    const before = held();
    node.open(
      aSwitch('peak', {
        'volume.read': { do: 'scale', factor: 2 },
        'volume.writeOps': { do: 'set', value: 50 },
      }),
    );
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 40 * MB, 'volume.writeOps': 50 }));
    const writes = node.storaged.writes;
    await node.round(true);
    expect(node.storaged.writes).toBe(writes);
    node.pass(HOUR);
    await node.round();
    expect(held()).toEqual(before);
    expect(node.keeper.drifts()).toBe(0);
  });

  it('are the least of what was asked for mounts that have one client, and nobody takes them back', async () => {
    const both = { 'volume.write': null, 'volume.readOps': 90 };
    const first = node.storaged.mount(4, C1, {}, { ...both, 'volume.read': 9 * MB });
    const second = node.storaged.mount(5, C1, {}, { 'volume.read': 7 * MB, 'volume.write': 5 * MB });
    node.storaged.change(second, { volume: aVolumeId(4) });
    node.storaged.tell();
    await node.round();
    const least = rates({ 'volume.read': 7 * MB, 'volume.write': 5 * MB, 'volume.readOps': 90 });
    expect([held(first), held(second)]).toEqual([least, least]);
    const { writes } = node.storaged;
    await node.round(true);
    await node.round(true);
    expect([node.storaged.writes, node.keeper.drifts()]).toEqual([writes, 0]);
  });

  it('hold of a container that is not attached, as far as it is chosen by tenant, node and zone', async () => {
    const stray = node.storaged.mount(3, 'c9' as ContainerId);
    node.volume(3, { 'volume.read': 8 * MB });
    node.open(aSwitch('all', slower.changes, { select: { tenant: ['blue'] } }));
    node.open(aSwitch('cart', { 'volume.write': { do: 'set', value: MB } }, { select: { app: ['cart'] } }));
    await node.round();
    expect(held(stray)).toEqual(rates({ 'volume.read': 4 * MB }));
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB, 'volume.write': MB }));
    expect(node.keeper.strangers().map(({ desired }) => desired.subject.containerId)).toEqual(['c9']);
    node.attach(anEndpoint(9, { app: 'cart' }));
    await node.round();
    expect(held(stray)).toEqual(rates({ 'volume.read': 4 * MB, 'volume.write': MB }));
    expect(node.keeper.strangers()).toEqual([]);
  });

  it('that somebody else has changed are put back at the next full look, counted and told', async () => {
    node.storaged.change(data, {
      held: { ...UNLIMITED_VOLUME, 'volume.read': 99 * MB, 'volume.readOps': 7 },
    });
    await node.round();
    expect(held()).toMatchObject({ 'volume.readOps': 7 });
    await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB }));
    expect(node.keeper.drifts()).toBe(2);
    expect(picture().events).toEqual([
      expect.objectContaining({
        what: 'drift',
        field: 'volume.read',
        text: expect.stringContaining('99000000'),
      }),
      expect.objectContaining({ what: 'drift', field: 'volume.readOps' }),
    ]);
    await node.round(true);
    expect(node.keeper.drifts()).toBe(2);
  });

  it('are given to the client that takes a dead one’s place, and that is nobody else’s change', async () => {
    node.storaged.change(data, { held: null, state: 'broken' });
    node.storaged.tell();
    node.open(slower);
    await node.round(true);
    expect(picture().shortfalls).toEqual([
      expect.objectContaining({
        ...{ field: 'volume.read', wanted: 10 * MB },
        why: 'volume data-1: its client is dead, and will be replaced',
      }),
    ]);
    node.storaged.change(data, { held: UNLIMITED_VOLUME, state: 'mounted', replaced: 1 });
    node.storaged.tell();
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    node.storaged.change(data, { held: UNLIMITED_VOLUME, replaced: 2 });
    await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    expect([node.keeper.drifts(), picture().shortfalls]).toEqual([0, []]);
  });

  it('stay while storaged is away, and what is missing is told', async () => {
    node.storaged.isUp = false;
    await node.round(true);
    expect(picture().shortfalls).toEqual([]);
    expect(node.keeper.volumes.isUnread()).toBe(true);
    node.open(slower);
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB }));
    expect(picture().shortfalls).toEqual([
      {
        ...{ field: 'volume.read', wanted: 10 * MB, kernel: 20 * MB },
        why: expect.stringContaining('storaged does not answer'),
      },
    ]);
    node.storaged.isUp = true;
    node.storaged.tell();
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    expect([picture().shortfalls, node.keeper.volumes.isUnread()]).toEqual([[], false]);
  });

  it('that were refused are asked for again after a while, or when others are wanted', async () => {
    node.storaged.refuses.add(data);
    node.open(slower);
    await node.round();
    expect(picture().shortfalls).toEqual([
      expect.objectContaining({ why: 'volume data-1: the client took nothing', kernel: 20 * MB }),
    ]);
    node.storaged.refuses.clear();
    await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB }));
    for (let look = 0; look < 5; look += 1) await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    expect(picture().shortfalls).toEqual([]);
  });

  it('that were refused are asked for at once of another client', async () => {
    node.storaged.refuses.add(data);
    node.open(slower);
    await node.round();
    node.storaged.refuses.clear();
    node.storaged.change(data, { replaced: 1 });
    node.storaged.tell();
    await node.round();
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
  });

  it('that were set while they were being read are nobody else’s change', async () => {
    const [write, read] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    node.storaged.slow = write.promise;
    node.open(slower);
    await node.round();
    node.storaged.slowReading = read.promise;
    const looking = node.round(true);
    await new Promise(setImmediate);
    write.resolve();
    await new Promise(setImmediate);
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    read.resolve();
    await looking;
    await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 10 * MB }));
    expect(node.keeper.drifts()).toBe(0);
  });

  it('do not change while something else of the container is refused, and do not hold that up', async () => {
    node.kernel.makeGroup(C1, { pids: 200 });
    node.kernel.refuses.add('pids');
    node.open(aSwitch('peak', { pids: { do: 'set', value: 9 }, 'volume.read': { do: 'lift' } }));
    await node.round(true);
    expect(held()).toEqual(rates({ 'volume.read': 20 * MB }));
    node.kernel.refuses.clear();
    node.storaged.refuses.add(data);
    for (let look = 0; look < 7; look += 1) await node.round(true);
    expect(node.kernel.groups.get(C1)).toMatchObject({ pids: 9 });
    expect(picture().shortfalls.map(({ field }) => field)).toEqual(['volume.read']);
  });

  it('of a client that takes its time hold up no other', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    node.storaged.slow = promise;
    node.open(aSwitch('peak', { cpu: { do: 'set', value: 1 }, 'volume.read': { do: 'lift' } }));
    await node.round();
    expect(node.kernel.groups.get(C1)).toMatchObject({ cpu: 1 });
    expect(picture().shortfalls).toEqual([
      expect.objectContaining({ why: 'volume data-1: it is being set' }),
    ]);
    resolve();
    await new Promise(setImmediate);
    expect(node.lateOnes).toBe(1);
    await node.round();
    expect([held(), picture().shortfalls]).toEqual([UNLIMITED_VOLUME, []]);
  });
});

describe('a tenant’s share of its mounts on a node', () => {
  it('is held for all of them together, changed by switches, and forgotten with the last', async () => {
    plan({}, { 'tenant.volume.write': 50 * MB });
    await node.round();
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    node.open(aSwitch('peak', { 'tenant.volume.write': { do: 'scale', factor: 3 } }));
    await node.round();
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 150 * MB }));
    node.pass(HOUR);
    await node.round();
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    node.storaged.shares.set(web.tenant, UNLIMITED_VOLUME);
    node.storaged.mount(2, C1);
    await node.round();
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    expect(node.keeper.drifts()).toBe(0);
    node.storaged.isUp = false;
    plan({}, { 'tenant.volume.write': 10 * MB });
    await node.round();
    const reports = createReports(node.keeper, 'a' as NodeName, () => ({ cpu: 1, memory: 1, uplink: null }));
    expect(reports.next(true)[0]!.tenants).toEqual([
      expect.objectContaining({
        effective: { 'tenant.volume.write': 10 * MB },
        shortfalls: [expect.objectContaining({ field: 'tenant.volume.write', kernel: 50 * MB })],
      }),
    ]);
    node.storaged.mounts.clear();
    node.storaged.isUp = true;
    node.storaged.tell();
    await node.round();
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    expect(node.keeper.shortfallsOfShare(web.tenant)).toEqual([]);
  });
});

describe('a tenant’s share that somebody else has changed', () => {
  const reports = () =>
    createReports(node.keeper, 'a' as NodeName, () => ({ cpu: 1, memory: 1, uplink: null }));

  it('is put back at the next full look, counted, and told to the server', async () => {
    plan({}, { 'tenant.volume.write': 50 * MB });
    await node.round();
    node.storaged.shares.set(web.tenant, rates({ 'volume.write': 70 * MB, 'volume.readOps': 9 }));
    node.storaged.tell();
    await node.round();
    await node.round(true);
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    expect(node.keeper.drifts()).toBe(2);
    expect(reports().next(true)[0]!.tenants).toEqual([
      expect.objectContaining({
        shortfalls: [],
        events: [
          expect.objectContaining({
            ...{ what: 'drift', field: 'tenant.volume.write' },
            text: 'tenant.volume.write was changed by somebody else, from 50000000 to 70000000',
          }),
          expect.objectContaining({ what: 'drift', field: 'tenant.volume.readOps' }),
        ],
      }),
    ]);
    expect(picture().events).toEqual([]);
    await node.round(true);
    expect(node.keeper.drifts()).toBe(2);
  });

  it('was not, when storaged has mounted something and has not told of it yet', async () => {
    plan({}, { 'tenant.volume.write': 50 * MB });
    await node.round();
    const told = node.storaged.keeper.told();
    node.storaged.mount(2, C1);
    node.storaged.shares.set(web.tenant, UNLIMITED_VOLUME);
    node.storaged.keeper.told = () => told;
    await node.round(true);
    expect(node.storaged.shares.get(web.tenant)).toEqual(rates({ 'volume.write': 50 * MB }));
    expect(node.keeper.drifts()).toBe(0);
  });
});

describe('what the server is told of a container with several mounts', () => {
  it('is the least of them, so that what it foretells of a switch comes true', async () => {
    node.volume(2, { 'volume.read': 8 * MB, 'volume.write': 30 * MB });
    node.storaged.mount(2, C1);
    const reports = createReports(node.keeper, 'a' as NodeName, () => ({ cpu: 1, memory: 1, uplink: null }));
    node.open(slower);
    await node.round();
    expect(reports.next(true)[0]!.containers).toEqual([
      expect.objectContaining({
        base: expect.objectContaining({ 'volume.read': 8 * MB, 'volume.write': 30 * MB }),
        effective: expect.objectContaining({ 'volume.read': 4 * MB, 'volume.write': 30 * MB }),
        switches: [slower.id],
      }),
    ]);
  });
});
