import type { Endpoint } from '../../model/endpoint.ts';
import { LimitsReport } from '../../model/limits-report.ts';
import type { ContainerId, NodeName } from '../../model/names.ts';
import { aSwitch, HOUR, NOON, SimulatedNode } from '../../test/support/limits-world.ts';
import { anEndpoint } from '../../test/support/samples.ts';
import { Died } from '../../test/support/simulated-storaged.ts';
import { createReports } from './report.ts';

const MIB = 2 ** 20;
const RUNTIME = { memory: 128 * MIB, pids: 200, cpu: 0.5 };
const C1 = 'c1' as ContainerId;

let node: SimulatedNode;
let web: Endpoint;
beforeEach(async () => {
  node = await SimulatedNode.start();
  web = anEndpoint(1, { bandwidth: { ingressRate: 10_000_000, ingressBurst: 4_294_967_295 }, app: 'cart' });
  node.attach(web, RUNTIME);
  await node.round();
});

const group = () => node.kernel.groups.get(C1)!;
const external = () => node.kernel.ratesOf(web.nics[0]!.hostIf);

describe('the keeper of limits', () => {
  it('holds the rates that the runtime asked for, and leaves the cgroup as the runtime made it', () => {
    expect(external()).toEqual({ in: 10_000_000, out: null });
    expect(group()).toMatchObject(RUNTIME);
    expect(node.kernel.writes).toBe(1);
  });

  it('changes what a switch names while it is open, and nothing else', async () => {
    const before = { ...group() };
    node.open(aSwitch('peak', { cpu: { do: 'set', value: 4 }, 'net.external.in': { do: 'lift' } }));
    await node.round();
    expect(group()).toEqual({ ...before, cpu: 4 });
    expect(external()).toEqual({ in: null, out: null });
    node.pass(HOUR);
    await node.round();
    expect(group()).toEqual(before);
    expect(external()).toEqual({ in: 10_000_000, out: null });
  });

  it('puts a field back that had no limit at all before the switch', async () => {
    const before = { ...group() };
    node.open(
      aSwitch('degrade', {
        'block.read': { do: 'set', value: 1_000_000 },
        'cpu.weight': { do: 'set', value: 10 },
      }),
    );
    await node.round();
    expect(group()).toMatchObject({ 'block.read': 1_000_000, 'cpu.weight': 10 });
    node.close(aSwitch('degrade', {}).id);
    await node.round();
    expect(group()).toEqual(before);
  });

  it('knows after kill -9 right behind its first write what the runtime had set', async () => {
    const before = { ...group() };
    node.kernel.dieAfterWrite = true;
    node.open(aSwitch('peak', { memory: { do: 'lift' }, pids: { do: 'scale', factor: 4 } }));
    await node.round().catch((error: unknown) => expect(error).toBeInstanceOf(Died));
    expect(group()).toMatchObject({ pids: 800 });
    node.kernel.dieAfterWrite = false;
    await node.restart();
    await node.round();
    expect(group()).toMatchObject({ pids: 800 });
    node.pass(HOUR);
    await node.round();
    expect(group()).toEqual(before);
  });

  it('takes an operator’s word for one container before all else, and keeps it over a restart', async () => {
    node.plan({
      tenant: web.tenant,
      container: { pids: 50 },
      share: {},
      borrow: false,
      priority: 0,
      volumes: { count: null, bytes: null },
    });
    await node.keeper.setOperator(web, { cpu: 2, 'net.external.in': null });
    await node.round();
    await node.restart();
    await node.round();
    expect(group()).toMatchObject({ cpu: 2, pids: 200 });
    expect(external()).toEqual({ in: null, out: null });
  });

  it('opens what begins now although its own clock is an hour behind, and ends it on time', async () => {
    const before = { ...group() };
    node.pass(0, -HOUR);
    node.open(aSwitch('peak', { cpu: { do: 'set', value: 4 } }));
    node.open(aSwitch('later', { pids: { do: 'lift' } }, { from: NOON + 1_000, until: NOON + 2_000 }));
    await node.round();
    expect(group()).toEqual({ ...before, cpu: 4 });
    node.pass(HOUR - 1);
    await node.round();
    expect(group()).toEqual({ ...before, cpu: 4 });
    node.pass(1);
    await node.round();
    expect(group()).toEqual(before);
  });

  it('ends a switch also when the disk is full, and opens none that it could not write down', async () => {
    const before = { ...group() };
    node.open(aSwitch('first', { cpu: { do: 'set', value: 4 } }, { until: NOON + 1_000 }));
    await node.round();
    expect(group()).toEqual({ ...before, cpu: 4 });
    node.diskFull = true;
    node.open(aSwitch('second', { pids: { do: 'lift' } }));
    node.pass(1_000);
    await node.round();
    expect(group()).toEqual(before);
    node.diskFull = false;
    await node.round();
    expect(group()).toEqual({ ...before, pids: null });
  });

  it('ends a switch without waiting for the disk, and knows after a restart that it is over', async () => {
    const before = { ...group() };
    node.open(aSwitch('first', { cpu: { do: 'set', value: 4 } }, { until: NOON + 1_000 }));
    await node.round();
    node.diskFull = true;
    node.pass(1_000);
    await node.keeper.look();
    await node.keeper.settle(false);
    expect(group()).toEqual(before);
    node.diskFull = false;
    await node.keeper.writeDown();
    node.pass(0, -10_000);
    await node.restart();
    await node.round();
    expect(group()).toEqual(before);
  });

  it('writes down what a clock that has jumped says before it acts on it: that clock may go back', async () => {
    const before = { ...group() };
    node.open(aSwitch('first', { cpu: { do: 'set', value: 4 } }, { until: NOON + 60_000 }));
    await node.round();
    node.pass(1_000, 3_600_000);
    await node.keeper.look();
    await node.keeper.settle(false);
    expect(group()).toEqual(before);
    node.pass(1, -3_600_000);
    await node.restart();
    await node.round();
    expect(group()).toEqual(before);
  });

  it('repairs what somebody else has changed, counts it and says so', async () => {
    node.kernel.makeGroup(C1, { ...RUNTIME, pids: 7 });
    node.kernel.rates = { ports: [], tenants: [] };
    await node.round(true);
    expect(group()).toMatchObject(RUNTIME);
    expect(external()).toEqual({ in: 10_000_000, out: null });
    expect(node.keeper.drifts()).toBe(2);
    expect(node.keeper.pictures()[0]!.events).toEqual([
      expect.objectContaining({
        what: 'drift',
        field: 'pids',
        text: expect.stringContaining('from 200 to 7'),
      }),
      expect.objectContaining({ what: 'drift', field: 'net.external.in' }),
    ]);
    await node.round(true);
    expect(node.keeper.drifts()).toBe(2);
  });

  it('changes all fields of a container or none, and says why', async () => {
    const before = { ...group() };
    node.kernel.refuses.add('pids');
    node.open(
      aSwitch('peak', {
        cpu: { do: 'set', value: 4 },
        pids: { do: 'lift' },
        'net.external.in': { do: 'lift' },
      }),
    );
    await node.round();
    expect(group()).toEqual(before);
    expect(external()).toEqual({ in: 10_000_000, out: null });
    const { shortfalls } = node.keeper.pictures()[0]!;
    expect(shortfalls.map(({ field, why }) => [field, why])).toEqual([
      ['cpu', 'pids was refused'],
      ['pids', 'pids was refused'],
    ]);
    node.kernel.refuses.clear();
    for (let look = 0; look < 7; look += 1) await node.round(true);
    expect(group()).toMatchObject({ cpu: 4, pids: null });
    expect(external()).toEqual({ in: null, out: null });
  });

  it('puts the cgroup back when the rates are refused', async () => {
    const before = { ...group() };
    node.kernel.refusesRates = true;
    node.open(
      aSwitch('peak', { cpu: { do: 'set', value: 4 }, 'net.external.out': { do: 'set', value: 1_000_000 } }),
    );
    await node.round();
    expect(group()).toEqual(before);
    expect(node.keeper.pictures()[0]!.shortfalls.length).toBeGreaterThan(0);
  });

  it('takes a container that vanishes for no error, and finds it again when it is back', async () => {
    node.kernel.groups.delete(C1);
    node.open(aSwitch('peak', { cpu: { do: 'set', value: 4 } }));
    await node.round();
    await node.round(true);
    expect(node.keeper.unfound().map(({ containerId }) => containerId)).toEqual([C1]);
    node.kernel.makeGroup(C1, RUNTIME);
    await node.round();
    await node.round();
    expect(group()).toMatchObject({ cpu: 4 });
  });

  it('waits for no container that takes its time, and leaves its rates until it is done', async () => {
    const other = anEndpoint(2);
    node.attach(other);
    await node.round();
    let finish = (): void => {};
    node.kernel.slow = new Promise((resolve) => {
      finish = resolve;
    });
    const rate = { 'net.external.out': { do: 'set', value: 1_000_000 } } as const;
    node.open(
      aSwitch('small', { memory: { do: 'set', value: MIB }, ...rate }, { select: { app: ['cart'] } }),
    );
    node.open(aSwitch('rate', rate, { select: { app: ['web-2'] } }));
    await node.round();
    expect(node.kernel.ratesOf(other.nics[0]!.hostIf)).toEqual({ in: null, out: 1_000_000 });
    expect(external()).toEqual({ in: 10_000_000, out: null });
    expect(node.keeper.pictures()[0]!.shortfalls).toEqual([
      expect.objectContaining({
        field: 'memory',
        wanted: MIB,
        why: expect.stringContaining('being changed'),
      }),
    ]);
    finish();
    await node.kernel.slow;
    await new Promise(setImmediate);
    expect(node.lateOnes).toBe(1);
    await node.round();
    expect(group()).toMatchObject({ memory: MIB });
    expect(external()).toEqual({ in: 10_000_000, out: 1_000_000 });
    expect(node.keeper.pictures()[0]!.shortfalls).toEqual([]);
  });

  it('asks seldom for memory that is in use, and holds all else meanwhile', async () => {
    node.kernel.used = 64 * MIB;
    node.open(aSwitch('small', { memory: { do: 'set', value: 32 * MIB }, cpu: { do: 'set', value: 0.1 } }));
    await node.round();
    expect(group()).toMatchObject({ memory: 64 * MIB, cpu: 0.1 });
    expect(node.keeper.pictures()[0]!.shortfalls).toEqual([
      { field: 'memory', wanted: 32 * MIB, kernel: 64 * MIB, why: 'it is in use' },
    ]);
    const { attempts } = node.kernel;
    for (let look = 0; look < 5; look += 1) await node.round(true);
    expect(node.kernel.attempts).toBe(attempts);
    node.kernel.groups.set(C1, { ...group(), pids: 7 });
    await node.round(true);
    expect(group()).toMatchObject({ pids: 200, memory: 64 * MIB, cpu: 0.1 });
    node.kernel.used = 0;
    for (let look = 0; look < 6; look += 1) await node.round(true);
    expect(group()).toMatchObject({ memory: 32 * MIB });
    expect(node.keeper.pictures()[0]!.shortfalls).toEqual([]);
  });

  it('tells of processes that the kernel killed for want of memory', async () => {
    await node.round(true);
    node.kernel.kills.set(C1, 3);
    await node.round(true);
    expect(node.keeper.pictures()[0]!.events).toEqual([
      expect.objectContaining({ what: 'oom', text: expect.stringContaining('killed 3') }),
    ]);
  });

  it('limits a port before it comes up, and forgets it when it goes', async () => {
    const coming = anEndpoint(2, { phase: 'adding', bandwidth: { egressRate: 5_000_000 } });
    node.attach(coming);
    await node.keeper.admit(coming);
    const port = coming.nics[0]!.hostIf;
    expect(node.kernel.ratesOf(port)).toEqual({ in: null, out: 5_000_000 });
    expect(node.keeper.rates.isUnread()).toBe(true);
    await node.round();
    expect(node.keeper.rates.isUnread()).toBe(false);
    expect([node.keeper.drifts(), node.kernel.ratesOf(port)]).toEqual([0, { in: null, out: 5_000_000 }]);
    expect(await node.keeper.faultsOf(coming)).toEqual([]);
    node.endpoints.delete('c2/eth0');
    await node.keeper.release(coming);
    await node.round();
    expect(node.kernel.ratesOf(port)).toEqual({ in: null, out: null });
  });

  it('holds a tenant’s share of the node, and what switches make of it', async () => {
    const share = { 'tenant.net.external.out': 100_000_000 };
    node.plan({
      tenant: web.tenant,
      container: {},
      share,
      borrow: true,
      priority: 0,
      volumes: { count: null, bytes: null },
    });
    await node.round();
    const tenant = { tenant: web.tenant, side: 'external', in: null, borrow: true };
    expect(node.kernel.rates.tenants).toEqual([{ ...tenant, out: 100_000_000 }]);
    node.open(aSwitch('peak', { 'tenant.net.external.out': { do: 'scale', factor: 2 } }));
    await node.round();
    expect(node.kernel.rates.tenants).toEqual([{ ...tenant, out: 200_000_000 }]);
  });
});

describe('what the server is told', () => {
  it('is everything once, then only what is new', async () => {
    const reports = createReports(node.keeper, 'a' as NodeName, () => ({
      cpu: 4,
      memory: 2 ** 34,
      uplink: null,
    }));
    node.attach(anEndpoint(2));
    await node.round();
    const [whole] = reports.next(true);
    expect(LimitsReport.parse(JSON.parse(JSON.stringify(whole)))).toEqual(whole);
    expect(whole).toMatchObject({ whole: true, revision: 1, gone: [] });
    expect(whole!.containers.map(({ subject }) => [subject.app, subject.instance])).toEqual([
      ['cart', 'web-1'],
      ['web-2', 'web-2'],
    ]);
    reports.sent();
    expect(reports.next(false)[0]!.containers).toEqual([]);
    const peak = aSwitch('peak', { cpu: { do: 'set', value: 4 } }, { select: { app: ['cart'] } });
    node.open(peak);
    await node.round();
    const [news] = reports.next(false);
    expect(news).toMatchObject({ whole: false, revision: 2 });
    expect(news!.containers).toEqual([
      expect.objectContaining({
        base: expect.objectContaining({ cpu: 0.5 }),
        effective: expect.objectContaining({ cpu: 4 }),
        ...{ switches: [peak.id], shortfalls: [] },
      }),
    ]);
    reports.sent();
    node.endpoints.delete('c2/eth0');
    await node.round();
    expect(reports.next(false)[0]).toMatchObject({ containers: [], gone: ['c2/eth0'] });
  });

  const CAPACITY = { cpu: 4, memory: 2 ** 34, uplink: null };
  const peak = aSwitch('peak', { cpu: { do: 'set', value: 4 } });

  it('is what the kernel was brought to, as long as it is being brought to something else', async () => {
    const reports = createReports(node.keeper, 'a' as NodeName, () => CAPACITY);
    reports.next(true);
    reports.sent();
    const { promise, resolve } = Promise.withResolvers<void>();
    node.kernel.slow = promise;
    node.open(peak);
    await node.keeper.look();
    const settling = node.keeper.settle(false);
    expect(reports.next(false)[0]).toMatchObject({ revision: 1, containers: [] });
    resolve();
    await settling;
    expect(reports.next(false)[0]).toMatchObject({ revision: 2, containers: [{ switches: [peak.id] }] });
  });

  it('is no word of a switch that came after the clocks had been looked at', async () => {
    await node.keeper.look();
    node.open(peak);
    await node.keeper.settle(false);
    expect(node.keeper.revision()).toBe(1);
    await node.round();
    expect(node.keeper.revision()).toBe(2);
  });
});
