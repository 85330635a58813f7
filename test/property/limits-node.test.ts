/** A node's limits through anything that can befall it: when all switches are over, every field is what it was. */
import fc from 'fast-check';
import { type CgroupField, type LimitField, VOLUME_FIELDS } from '../../model/limits.ts';
import { type HeldMount, UNLIMITED_VOLUME } from '../../model/mount-limits.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import { emptyPlan } from '../../model/plan.ts';
import type { Change, Switch } from '../../model/switch.ts';
import type { CgroupLimits } from '../../qos/contract.ts';
import { aSwitch, HOUR, NOON, SimulatedNode } from '../support/limits-world.ts';
import { anEndpoint } from '../support/samples.ts';

const RUNS = 300;
const MIB = 2 ** 20;
const RUNTIME: readonly CgroupLimits[] = [
  { memory: 64 * MIB, pids: 50 },
  { cpu: 0.5, 'block.write': 1_000_000 },
  {},
];
const CONTAINERS = RUNTIME.map((_, n) => `c${n}` as ContainerId);
/** Left alone by every switch here. */
const UNNAMED: readonly CgroupField[] = ['cpu.weight', 'cpu.set', 'block.read', 'block.readOps'];
const NAMED: readonly LimitField[] = [
  'memory',
  'pids',
  'cpu',
  'block.write',
  'net.external.in',
  'net.internal.out',
  'volume.read',
  'volume.writeOps',
  'tenant.volume.write',
];

const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.integer({ min: 8_000, max: 2 ** 40 }).map((value) => ({ do: 'set', value }) as const),
  fc.constantFrom(0.5, 2, 10).map((factor) => ({ do: 'scale', factor }) as const),
  fc.constant({ do: 'lift' } as const),
);

const anySwitch = fc
  .record({
    id: fc.integer({ min: 0, max: 5 }),
    field: fc.constantFrom(...NAMED),
    change: anyChange,
    app: fc.option(fc.constantFrom('web-0', 'web-1')),
    forMs: fc.integer({ min: 1_000, max: HOUR }),
    inMs: fc.integer({ min: -HOUR / 2, max: HOUR / 2 }),
    priority: fc.integer({ min: -1, max: 1 }),
  })
  .map((drawn) => ({ kind: 'open' as const, ...drawn }));

const anyEvent = fc.oneof(
  { weight: 4, arbitrary: anySwitch },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(HOUR / 4) }) },
  fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -HOUR, max: HOUR }) }),
  fc.record({ kind: fc.constant('close' as const), id: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ kind: fc.constant('kill' as const), midway: fc.boolean() }),
  fc.record({ kind: fc.constant('reboot' as const), ms: fc.nat(HOUR / 4) }),
  fc.record({
    kind: fc.constant('drift' as const),
    n: fc.nat(2),
    field: fc.constantFrom(...UNNAMED, 'pids'),
  }),
  fc.record({ kind: fc.constant('again' as const), n: fc.nat(2) }),
  fc.record({ kind: fc.constant('refuse' as const), field: fc.constantFrom('memory', 'pids', 'cpu') }),
  fc.record({ kind: fc.constant('refuseRates' as const) }),
  fc.record({ kind: fc.constant('refuseMount' as const), n: fc.nat(2) }),
  fc.record({ kind: fc.constant('storaged' as const), isUp: fc.boolean() }),
  fc.record({ kind: fc.constant('client' as const), n: fc.nat(2), lives: fc.boolean() }),
  fc.record({
    kind: fc.constant('driftMount' as const),
    n: fc.nat(2),
    field: fc.constantFrom(...VOLUME_FIELDS),
  }),
  fc.record({ kind: fc.constant('use' as const), memory: fc.constantFrom(0, 48 * MIB, 100 * MIB) }),
);
type Event = typeof anyEvent extends fc.Arbitrary<infer T> ? T : never;
type MountEvent = Extract<Event, { kind: 'refuseMount' | 'storaged' | 'client' | 'driftMount' }>;

const runtimeOf = (id: ContainerId): CgroupLimits => RUNTIME[CONTAINERS.indexOf(id)] ?? {};
let boots = 1;

async function befall(node: SimulatedNode, event: Event): Promise<void> {
  switch (event.kind) {
    case 'open':
      return node.open(switchOf(node, event));
    case 'close':
      return node.close(idOf(event.id));
    case 'pass':
      return node.pass(event.ms);
    case 'jump':
      return node.pass(0, event.ms);
    case 'kill':
      node.kernel.dieAfterWrite = event.midway;
      node.storaged.dieAfterWrite = event.midway;
      await node.round().catch(() => undefined);
      node.kernel.dieAfterWrite = false;
      node.storaged.dieAfterWrite = false;
      return node.restart();
    case 'reboot':
      boots += 1;
      return node.reboot(event.ms, `boot-${boots}`, runtimeOf);
    case 'drift': {
      const id = CONTAINERS[event.n]!;
      const value = event.field === 'cpu.set' ? '0' : 7;
      node.kernel.groups.set(id, { ...node.kernel.groups.get(id), [event.field]: value });
      return node.round(true);
    }
    case 'again':
      return node.kernel.makeGroup(CONTAINERS[event.n]!, runtimeOf(CONTAINERS[event.n]!));
    case 'refuse':
      node.kernel.refuses.add(event.field as CgroupField);
      return undefined;
    case 'use':
      node.kernel.used = event.memory;
      return undefined;
    case 'refuseRates':
      node.kernel.refusesRates = true;
      return undefined;
    default:
      return befallMounts(node.storaged, event);
  }
}

function befallMounts(storaged: SimulatedNode['storaged'], event: MountEvent): void {
  const all = [...storaged.mounts.values()];
  const at = (n: number): HeldMount => all[n]!;
  switch (event.kind) {
    case 'refuseMount':
      storaged.refuses.add(at(event.n).id);
      break;
    case 'storaged':
      storaged.isUp = event.isUp;
      break;
    case 'client': {
      const { id, held, replaced } = at(event.n);
      if (!event.lives) storaged.change(id, { held: null });
      else if (held === null) storaged.change(id, { held: UNLIMITED_VOLUME, replaced: replaced + 1 });
      break;
    }
    case 'driftMount': {
      const { id, held } = at(event.n);
      if (held !== null) storaged.change(id, { held: { ...held, [event.field]: 77 } });
    }
  }
  storaged.tell();
}

const idOf = (n: number): Switch['id'] => `sw-0000000${n}` as Switch['id'];

function switchOf(node: SimulatedNode, drawn: Extract<Event, { kind: 'open' }>): Switch {
  const from = Math.max(0, node.now.wall + drawn.inMs);
  return aSwitch(
    '',
    { [drawn.field]: drawn.change },
    {
      ...{ id: idOf(drawn.id), from, until: from + drawn.forMs, priority: drawn.priority, openedAt: NOON },
      select: drawn.app === null ? {} : { app: [drawn.app] },
    },
  );
}

async function start(): Promise<SimulatedNode> {
  const node = await SimulatedNode.start();
  for (const [n, id] of CONTAINERS.entries())
    node.attach(anEndpoint(n, { bandwidth: { ingressRate: 1_000_000 * (n + 1) } }), runtimeOf(id));
  const plan = emptyPlan('blue' as TenantName);
  node.plan({ ...plan, container: { 'volume.writeOps': 100 }, share: { 'tenant.volume.write': 70_000_000 } });
  // The last is of a container that is not attached.
  for (const [n, id] of [...CONTAINERS.slice(0, 2), 'c9' as ContainerId].entries()) {
    node.volume(n, n === 0 ? {} : { 'volume.read': 1_000_000 * n });
    node.storaged.mount(n, id, {}, n === 1 ? { 'volume.write': 5_000_000 } : {});
  }
  await node.round();
  return node;
}

/** Everything that the kernel holds. */
function heldBy({ kernel, storaged }: SimulatedNode): object {
  const ports = [...kernel.rates.ports].sort((a, b) => (a.hostIf < b.hostIf ? -1 : 1));
  const mounts = [...storaged.mounts.values()].map(({ id, held }) => [id, held]);
  const shares = Object.fromEntries(storaged.shares);
  return { groups: Object.fromEntries(kernel.groups), ports, tenants: kernel.rates.tenants, mounts, shares };
}

it('is field by field what it was, once all switches are over', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyEvent, { maxLength: 25 }),
      fc.infiniteStream(fc.boolean()),
      async (events, full) => {
        const node = await start();
        const before = heldBy(node);
        for (const event of events) {
          await befall(node, event);
          await node.round(full.next().value);
          for (const id of CONTAINERS)
            if (event.kind !== 'drift')
              expect(pick(node.kernel.groups.get(id)!)).toEqual(pick(runtimeAll(before, id)));
        }
        node.kernel.refuses.clear();
        node.kernel.refusesRates = false;
        node.kernel.used = 0;
        node.storaged.refuses.clear();
        node.storaged.isUp = true;
        for (let n = 0; n < 3; n += 1) befallMounts(node.storaged, { kind: 'client', n, lives: true });
        // Jumps may have put an end off by as much as they went back.
        node.pass(100 * HOUR);
        for (let look = 0; look < 8; look += 1) await node.round(true);
        expect(heldBy(node)).toEqual(before);
        runs += 1;
      },
    ),
    { numRuns: RUNS },
  );
  process.stdout.write(
    `${String(runs).padStart(6)} runs of a node through kills, reboots, jumps and refusals\n`,
  );
  expect(runs).toBe(RUNS);
});

const pick = (limits: CgroupLimits): CgroupLimits =>
  Object.fromEntries(UNNAMED.map((field) => [field, limits[field]]));

function runtimeAll(before: object, id: ContainerId): CgroupLimits {
  return (before as { groups: Record<string, CgroupLimits> }).groups[id] ?? {};
}
