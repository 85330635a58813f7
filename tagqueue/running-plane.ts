/** Which plane enforces on this node, and how one takes over from the other: both judge until the old one may go. */

import { lookupMap, updateMap } from '../linux/bpf.ts';
import { tryBpf } from '../linux/bpf-abilities.ts';
import { listLinks } from '../linux/links.ts';
import type { Route } from '../linux/local-routes.ts';
import { NETLINK_ROUTE, openNetlink } from '../linux/netlink.ts';
import { openRing, type RingReader } from '../linux/ring.ts';
import { listPrograms } from '../linux/tc.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { asSluiceError, type SluiceError } from '../model/errors.ts';
import type { HeldKeys } from '../model/keys.ts';
import { probeIndex } from '../model/mark.ts';
import { PROBE_TAG } from '../model/names.ts';
import type { CountingKernel } from './accounts/collector.ts';
import { countingKernel } from './accounts/kernel.ts';
import { collectFromPins, collectFromTable, type LastCollection } from './accounts/open.ts';
import { lackOfEbpf } from './ebpf-lack.ts';
import type { GuardedPlane } from './guard/role.ts';
import { blockKey, decodeRoute, indexKey } from './maps.ts';
import { fenceTable, PORT_GROUPS } from './nfqueue/names.ts';
import { type Gear, openNfqueuePlane, removeNfqueuePlane } from './nfqueue/plane.ts';
import { type NfqueueParts, nfqueueRoutes } from './nfqueue/server.ts';
import { tcNameOf } from './observe.ts';
import { pinDirectoryOf } from './pins.ts';
import { openPlane, type Plane, type PlaneOptions } from './plane.ts';
import type { ProbedPlane } from './probes/prober.ts';
import { removeEbpfPlane } from './remove.ts';
import type { PlaneSettings } from './settings.ts';

/** What the configuration asks for; `auto` is eBPF unless the kernel was built without what it needs. */
export type PlaneChoice = 'auto' | 'ebpf' | 'nfqueue';

export interface RunningPlaneOptions extends PlaneOptions {
  readonly plane: PlaneChoice;
  /** Of the plane `nfqueue`. */
  readonly gear: Gear;
  readonly stateDir: string;
}

export interface RunningPlane {
  /** Where it is eBPF: what only its programs and maps have. */
  readonly ebpf: Plane | undefined;
  readonly guarded: GuardedPlane;
  /** Undefined in the gear `flows`: probes are made for the carriers of the cluster, and know no other tunnel. */
  readonly probed: ProbedPlane | undefined;
  readonly counting: CountingKernel;
  /** Of the daemon's socket, where it is not eBPF. */
  routes(parts: NfqueueParts): Route[];
  /** Refused packets, from now on. */
  refusals(): RingReader;
  /** What the plane really has. */
  keys(): HeldKeys;
  problem(): SluiceError | undefined;
  /** Makes the plane what these settings want. */
  settle(settings: PlaneSettings | undefined): Promise<void>;
  /** Lets go of the plane; its rules and programs stay. */
  close(): Promise<void>;
}

/** @throws SluiceError when the plane that was asked for cannot be made; with `auto`, also when the kernel has eBPF and refuses ours */
export async function openRunningPlane(
  options: RunningPlaneOptions,
  settings: PlaneSettings | undefined,
): Promise<RunningPlane> {
  if (options.plane === 'nfqueue') return openNfqueue(options, settings);
  try {
    return await openEbpf(options, settings);
  } catch (thrown) {
    const lack = options.plane === 'auto' ? await lackHere() : undefined;
    if (lack === undefined) throw thrown;
    const { message } = asSluiceError(thrown);
    options.log.warn({ reason: message, lack }, `this kernel lacks ${lack}: packets go through userland`);
    return openNfqueue(options, settings);
  }
}

async function openEbpf(
  options: RunningPlaneOptions,
  settings: PlaneSettings | undefined,
): Promise<RunningPlane> {
  const plane = await openPlane(options, settings);
  settleFormer(options, (last) => collectFromTable(fenceTable(options.node), last));
  const takeover = takeOver(options, async () => {
    if (!plane.state.get().guarded || !(await allPortsFenced())) return false;
    await removeNfqueuePlane(options.node);
    return true;
  });
  return {
    ebpf: plane,
    guarded: {
      ports: { map: plane.map('ports_by_index').id },
      markOf: (tag) => lookupMap(plane.map('marks'), indexKey(tag))?.readUInt32LE(0),
      isInternal: () => false, // the programs' internal flows are not tracked
    },
    counting: countingKernel(plane.map),
    probed: {
      bearMark(): void {
        updateMap(plane.map('tenants'), indexKey(probeIndex(options.markMask)), indexKey(PROBE_TAG));
        updateMap(plane.map('marks'), indexKey(PROBE_TAG), indexKey(options.markMask));
      },
      nextHopTo(block): Ipv4 | undefined {
        const way = lookupMap(plane.map('routes'), blockKey(block));
        return way && decodeRoute(way).nextHop;
      },
    },
    routes: () => [],
    refusals: () => openRing(plane.map('drop_log')),
    keys: () => plane.state.get().keys,
    problem: plane.problem,
    settle: plane.settle,
    async close(): Promise<void> {
      await takeover.stop();
      await plane.close();
    },
  };
}

/** As long as the eBPF programs judge as well, what is for the uplink is dropped: a tag is an option that they do not know. */
async function openNfqueue(
  options: RunningPlaneOptions,
  settings: PlaneSettings | undefined,
): Promise<RunningPlane> {
  const plane = await openNfqueuePlane(options, settings);
  settleFormer(options, (last) => collectFromPins(pinDirectoryOf(options.runDir, options.node), last));
  const takeover = takeOver(options, async () => {
    if (!plane.state.get().guarded) return false;
    await removeEbpfPlane(options.node, options.runDir);
    return true;
  });
  return {
    ebpf: undefined,
    guarded: {
      ports: { table: plane.state.get().ids.nfqueue.table },
      markOf: plane.markOf,
      isInternal: plane.isInternal,
    },
    // The workers know the probes' tenant from the start.
    probed: options.gear === 'flows' ? undefined : { bearMark: () => undefined, nextHopTo: plane.nextHopTo },
    counting: plane.counting,
    routes: (parts) => nfqueueRoutes(plane, parts),
    refusals: plane.refusals,
    keys: () => plane.state.get().keys,
    problem: plane.problem,
    settle: plane.settle,
    async close(): Promise<void> {
      await takeover.stop();
      await plane.close();
    },
  };
}

/** @returns undefined also where it cannot be asked: then the first failure tells more */
async function lackHere(): Promise<string | undefined> {
  try {
    return lackOfEbpf(await tryBpf());
  } catch {
    return undefined;
  }
}

/** What the former plane has counted is written down before this one counts: afterwards nobody could tell what both did. */
function settleFormer({ stateDir, log }: RunningPlaneOptions, collect: (last: LastCollection) => void): void {
  try {
    collect({ stateDir, leftover: true });
  } catch (error) {
    log.error({ reason: asSluiceError(error).message }, 'the last figures of the former plane are lost');
  }
}

const TAKEOVER_MS = 100;

/** Asks again and again until the old plane is gone, which it may be from the start. */
function takeOver({ log }: PlaneOptions, attempt: () => Promise<boolean>): { stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(async () => {
      if (await attempt()) clearInterval(timer);
    });
    running = running.catch((error: unknown) =>
      log.warn({ reason: asSluiceError(error).message }, 'the former plane is still there'),
    );
  }, TAKEOVER_MS);
  return {
    async stop(): Promise<void> {
      clearInterval(timer);
      await running;
    },
  };
}

/** Whether every container's host end has the programs: netd puts them there once it knows of the plane. */
async function allPortsFenced(): Promise<boolean> {
  const route = openNetlink(NETLINK_ROUTE);
  try {
    const ports = (await listLinks(route)).filter(
      ({ kind, group }) => kind === 'veth' && group >= PORT_GROUPS.first && group <= PORT_GROUPS.last,
    );
    for (const { index } of ports) {
      const names = (await listPrograms(route, index)).map(({ name }) => name);
      if (!names.includes(tcNameOf('port_in')) || !names.includes(tcNameOf('port_out'))) return false;
    }
    return true;
  } finally {
    route.close();
  }
}
