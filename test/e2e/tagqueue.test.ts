/** The daemon around the programs: it comes and goes, by signals and upgrades, and the fence stands. */
import { existsSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { lookupMap, mapById, sumPerCpu } from '../../linux/bpf.ts';
import { inNetns } from '../../linux/netns.ts';
import { addClsact, attachProgram, listPrograms, removeClsact } from '../../linux/tc.ts';
import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import type { KeyBits } from '../../model/keys.ts';
import type { ContainerId, IfName, KeyEpoch, NodeName } from '../../model/names.ts';
import { tagqueueSocketOf } from '../../tagqueue/main.ts';
import { decodeKey, indexKey } from '../../tagqueue/maps.ts';
import type { PlaneIds } from '../../tagqueue/plane-ids.ts';
import { openPortPlane } from '../../tagqueue/port-binding.ts';
import { numberOfReason } from '../../tagqueue/reasons.ts';
import { removePlane } from '../../tagqueue/remove.ts';
import { type PlaneSettings, settingsFileOf } from '../../tagqueue/settings.ts';
import { FenceBuilds } from '../fence/builds.ts';
import { type Daemon, daemonOn, NODE } from '../fence/tagqueue-daemon.ts';
import { eventually, layWire, type Wire } from '../fence/wire.ts';
import { MARK_MASK, OWN_MAC, onWire, PORTS, sent, TENANT } from '../fence/world.ts';

const builds = new FenceBuilds();
const object = builds.build();
/** Another object of the same layout, as after an upgrade. */
const upgraded = builds.build('loopback');

const SETTINGS: PlaneSettings = {
  internalPool: '10.64.0.0/12' as Cidr,
  ownBlock: '10.64.0.0/22' as Cidr,
  uplinkAddress: '192.0.2.1' as Ipv4,
  keys: {
    current: 1 as KeyEpoch,
    keys: [{ epoch: 1 as KeyEpoch, key: '000102030405060708090a0b0c0d0e0f' as KeyBits }],
  },
  carrier: 'option',
  fenced: false,
};

let wire: Wire;
let port: { near: number; far: number };
let daemon: Daemon;

beforeAll(() => {
  wire = layWire();
  port = wire.addPair('near1', 'far1');
  daemon = daemonOn(wire);
});
afterAll(() => {
  daemon[Symbol.dispose]();
  wire[Symbol.dispose]();
  builds[Symbol.dispose]();
});

const attachedTo = async (ifindex: number): Promise<Record<string, number>> =>
  Object.fromEntries(
    (await listPrograms(wire.route, ifindex)).map(({ name, programId }) => [name, programId]),
  );

const onUplink = (ids: PlaneIds): Record<string, number> => ({
  sluice_uplink_in: ids.programs.uplink_in,
  sluice_uplink_out: ids.programs.uplink_out,
});
const onPort = (ids: PlaneIds): Record<string, number> => ({
  sluice_port_in: ids.programs.port_in,
  sluice_port_out: ids.programs.port_out,
});

async function ready(): Promise<PlaneIds> {
  await eventually('tagqueue is ready', async () => (await daemon.status())?.ready || undefined);
  return daemon.ids();
}

function untaggedSoFar(ids: PlaneIds): number {
  using drops = mapById(ids.maps.drops);
  return Number(sumPerCpu(drops!, numberOfReason('untagged')));
}

function keysOf(ids: PlaneIds): (string | undefined)[] {
  using keys = mapById(ids.maps.keys);
  return [1, 2].map((epoch) => decodeKey(lookupMap(keys!, indexKey(epoch))!)?.toString('hex'));
}

const textOf = (daemon: Daemon, path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ socketPath: tagqueueSocketOf(daemon.runDir), path }, (answer) => resolve(text(answer))).on(
      'error',
      reject,
    );
  });

function isKnown(mapId: number): boolean {
  using map = mapById(mapId);
  return map !== undefined;
}

let before: PlaneIds;

describe('tagqueue', () => {
  it('makes the plane before it has heard from the server, and leaves the uplink alone', async () => {
    daemon.start(object, 'shared');
    expect(await eventually('it answers', () => daemon.status())).toMatchObject({
      ready: false,
      guarded: false,
    });
    expect(await attachedTo(wire.near)).toEqual({});
  });

  it('guards the uplink once it knows the pool', async () => {
    daemon.tell(SETTINGS);
    before = await ready();
    expect(await attachedTo(wire.near)).toEqual(onUplink(before));
    expect(statSync(settingsFileOf(daemon.stateDir)).mode & 0o777).toBe(0o600);
  });

  it('tells netd where the plane is, by ids that work in any process', async () => {
    using plane = openPortPlane(before, MARK_MASK);
    const programs = plane.programs!;
    expect(programs.port_in.id).toBe(before.programs.port_in);
    await addClsact(wire.route, port.near);
    for (const [direction, program] of [
      ['ingress', programs.port_in],
      ['egress', programs.port_out],
    ] as const) {
      const name = `sluice_${program.name}`;
      await attachProgram(wire.route, { ifindex: port.near, direction, programFd: program.fd, name });
    }
    const bound = { ...PORTS.internal, ifindex: port.near };
    plane.bind(bound, { container: 'c1' as ContainerId, ifName: 'eth1' as IfName });
    expect(plane.read(port.near)).toEqual(bound);
    expect(plane.list()).toEqual(new Map([[port.near, bound]]));
    expect(plane.read(port.far)).toBeUndefined();
    plane.unbind(port.far);
  });

  it('shows dropped packets as they happen, and counts them', async () => {
    const stop = new AbortController();
    const events = daemon.api.stream('/v1/drops/events', stop.signal)[Symbol.asyncIterator]();
    const next = events.next();
    const again = setInterval(() => wire.send(port.far, sent({ source: PORTS.internal.gateway })), 20);
    const { value } = await next.finally(() => clearInterval(again));
    expect(value).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      interface: 'near1',
      ifindex: port.near,
      tag: TENANT,
      reason: 'source_ip',
      hook: 'port_in',
      header: { sourceMac: OWN_MAC, source: PORTS.internal.gateway },
    });
    stop.abort();
    expect(await daemon.api.request('GET', '/v1/drops')).toMatchObject({
      drops: expect.arrayContaining([
        expect.objectContaining({ reason: 'source_ip', packets: expect.any(Number) }),
        expect.objectContaining({ reason: 'tag_forged', packets: 0 }),
      ]),
    });
  });

  it('repairs a program that somebody took away', async () => {
    await removeClsact(wire.route, wire.near);
    expect(await attachedTo(wire.near)).toEqual({});
    daemon.tell(SETTINGS);
    await eventually('it is back', async () => (await attachedTo(wire.near)).sluice_uplink_in);
  });

  it('follows the keys: a new one at once, a withdrawn one no longer', async () => {
    const fresh = { epoch: 2 as KeyEpoch, key: 'ffffffffffffffffffffffffffffffff' as KeyBits };
    daemon.tell({ ...SETTINGS, keys: { current: 2 as KeyEpoch, keys: [...SETTINGS.keys.keys, fresh] } });
    await eventually('the new key', () => keysOf(before)[1]);
    expect(keysOf(before)).toEqual([SETTINGS.keys.keys[0]!.key, fresh.key]);
    daemon.tell({ ...SETTINGS, keys: { current: 2 as KeyEpoch, keys: [fresh] } });
    await eventually('the old key is gone', () => keysOf(before)[0] === undefined || undefined);
    daemon.tell(SETTINGS);
    await eventually('back to the first key', () => keysOf(before)[1] === undefined || undefined);
  });

  it('leaves everything standing when it is killed, and finds it again', async () => {
    await daemon.end('SIGKILL');
    expect(await attachedTo(wire.near)).toEqual(onUplink(before));
    const counted = untaggedSoFar(before);
    wire.send(wire.far, onWire({}));
    await eventually('the orphaned fence refuses', () => untaggedSoFar(before) === counted + 1 || undefined);

    daemon.start(object, 'shared');
    expect(await ready()).toEqual(before);
  });

  it('takes over maps by what is attached when its pins are out of sight', async () => {
    await daemon.end('SIGKILL');
    daemon.start(object, 'own');
    const after = await ready();
    expect(after.maps).toEqual(before.maps);
    expect(await attachedTo(wire.near)).toEqual(onUplink(after));
    expect(await attachedTo(port.near)).toEqual(onPort(after));
    using plane = openPortPlane(after, MARK_MASK);
    expect(plane.read(port.near)).toEqual({ ...PORTS.internal, ifindex: port.near });
    before = after;
  });

  it('goes when asked to, and the plane stays', async () => {
    expect(await daemon.end('SIGTERM')).toBe(0);
    expect(await attachedTo(wire.near)).toEqual(onUplink(before));
    expect(await attachedTo(port.near)).toEqual(onPort(before));
  });

  it('exchanges its programs for those of a new object, and no packet slips through', async () => {
    const counted = untaggedSoFar(before);
    let forbidden = 0;
    const flood = setInterval(() => {
      for (let i = 0; i < 50; i++) wire.send(wire.far, onWire({}));
      forbidden += 50;
    }, 1);
    daemon.start(upgraded, 'shared');
    const after = await ready().finally(() => clearInterval(flood));
    expect(after.maps).toEqual(before.maps);
    expect(Object.values(after.programs)).not.toEqual(expect.arrayContaining([before.programs.port_in]));
    expect(await attachedTo(wire.near)).toEqual(onUplink(after));
    expect(await attachedTo(port.near)).toEqual(onPort(after));
    expect(forbidden).toBeGreaterThan(1_000);
    await eventually('all were refused', () => untaggedSoFar(after) - counted === forbidden || undefined);
    before = after;
  });

  it('serves its metrics', async () => {
    const metrics = await textOf(daemon, '/metrics');
    expect(metrics).toMatch(/^sluice_tagqueue_drops_total\{reason="untagged"\} [1-9]\d*$/m);
    expect(metrics).toMatch(/^sluice_tagqueue_packets_total\{what="tagged"\} \d+$/m);
  });

  it('is taken down without a trace', async () => {
    await daemon.end('SIGTERM');
    const removed = inNetns(wire.netns, () => ({
      done: removePlane(NODE as NodeName, daemon.runDir, daemon.stateDir),
    }));
    await removed.done;
    expect(await attachedTo(wire.near)).toEqual({});
    expect(await attachedTo(port.near)).toEqual({});
    expect(existsSync(`${daemon.runDir}/bpf`)).toBe(false);
    expect(existsSync(settingsFileOf(daemon.stateDir))).toBe(false);
    await eventually(
      'the kernel has forgotten the maps',
      () => !isKnown(before.maps.ports_by_index) || undefined,
    );
  });
});
