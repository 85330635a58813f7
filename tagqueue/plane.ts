/** A node's plane, kept as it should be: observe, plan, apply, again at every change and at intervals. */
import type { BpfMap } from '../linux/bpf.ts';
import { mountBpffs, objectDigest } from '../linux/bpffs.ts';
import { findLink, isNetworkCard, type Link } from '../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import type { HeldKeys } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName, NodeName } from '../model/names.ts';
import { applyPlane } from './apply.ts';
import { createLatest, type Latest } from './latest.ts';
import { MAP_NAMES, type MapName, PROGRAM_NAMES } from './maps.ts';
import { observePlane } from './observe.ts';
import { bpffsOf, pinDirectoryOf, requireMap, requireProgram } from './pins.ts';
import { planPlane } from './plan.ts';
import type { PlaneIds } from './plane-ids.ts';
import { desiredCluster, type PlaneSettings } from './settings.ts';

export interface PlaneOptions {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly runDir: string;
  /** The compiled programs (tagqueue/bpf). */
  readonly object: string;
  /** EtherTypes allowed besides IPv4 and ARP. */
  readonly etherTypes: readonly number[];
  /** The bits of the packet mark that are ours. */
  readonly markMask: MarkMask;
  /** UDP port of the carrier `vxlan`. */
  readonly vxlanPort: number;
  /** Whether packets may go from port to port, past bridge and routing. */
  readonly fastPath: boolean;
  readonly log: Log;
}

export interface PlaneState {
  readonly ids: PlaneIds;
  /** Whether the uplink is guarded too; before that the node has not heard from the server. */
  readonly guarded: boolean;
  /** What the programs really have. */
  readonly keys: HeldKeys;
  /** Whether this node was shut out of the cluster: then it has no keys. */
  readonly fenced: boolean;
}

export type FastPath = { readonly on: true } | { readonly on: false; readonly why: string };

export interface Plane {
  readonly state: Latest<PlaneState>;
  /** Whether packets go past bridge and routing, and if not, why. */
  readonly fastPath: FastPath;
  /** The last attempt's failure, as long as it has not been made good. */
  problem(): SluiceError | undefined;
  map(name: MapName): BpfMap;
  /** Makes the plane what these settings want, in turn behind what is under way. */
  settle(settings: PlaneSettings | undefined): Promise<void>;
  /** Lets go of the plane, which stays as it is. */
  close(): Promise<void>;
}

/** Programs that lost their place, to somebody's `tc qdisc del` say, are back after at most this long. */
const REPAIR_MS = 10_000;

/**
 * Opens the plane in the current network namespace, or makes it.
 * @throws SluiceError when it cannot even be made once.
 */
export async function openPlane(options: PlaneOptions, settings: PlaneSettings | undefined): Promise<Plane> {
  const route = openNetlink(NETLINK_ROUTE);
  const opened = new DisposableStack();
  opened.defer(() => route.close());
  try {
    mountBpffs(bpffsOf(options.runDir));
    const state = createLatest(await reconcile(route, options, settings));
    return keep(options, settings, { route, opened, state, maps: openMaps(options, opened) });
  } catch (error) {
    opened.dispose();
    throw error;
  }
}

interface Handles {
  readonly route: Netlink;
  readonly opened: DisposableStack;
  readonly state: Latest<PlaneState>;
  readonly maps: ReadonlyMap<MapName, BpfMap>;
}

function keep(options: PlaneOptions, first: PlaneSettings | undefined, handles: Handles): Plane {
  const { route, opened, state, maps } = handles;
  let settings = first;
  let problem: SluiceError | undefined;
  let last: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    try {
      const next = await reconcile(route, options, settings);
      problem = undefined;
      if (JSON.stringify(next) !== JSON.stringify(state.get())) state.set(next);
    } catch (error) {
      problem = asSluiceError(error);
      options.log.error({ reason: problem.message, hint: problem.hint }, 'the plane is not as it should be');
    }
  }
  function settle(next: PlaneSettings | undefined): Promise<void> {
    settings = next;
    last = last.then(run);
    return last;
  }

  const repair = setInterval(() => void settle(settings), REPAIR_MS);
  return {
    state,
    fastPath: options.fastPath ? { on: true } : { on: false, why: 'tagqueue.fastPath is off' },
    problem: () => problem,
    map: (name) => maps.get(name) ?? unknownMap(name),
    settle,
    close: async () => {
      clearInterval(repair);
      await last;
      opened.dispose();
    },
  };
}

/** Plans until there is nothing left to plan: a port may be attached with the old programs meanwhile. */
const MOST_ROUNDS = 5;

async function reconcile(
  route: Netlink,
  options: PlaneOptions,
  settings: PlaneSettings | undefined,
): Promise<PlaneState> {
  const { node, object, runDir, log } = options;
  const pins = pinDirectoryOf(runDir, node);
  const digest = objectDigest(object);
  const link = await uplinkOf(route, options.uplink);
  const uplink = link.index;
  const cluster = desiredCluster(settings, { ...options, uplink, card: isNetworkCard(link) });
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const observed = await observePlane(route, pins, digest, uplink);
    const actions = planPlane({ digest, uplink, etherTypes: new Set(options.etherTypes), cluster }, observed);
    if (actions.length === 0) {
      const keys = { accepts: [...observed.keys.keys()], sends: observed.conf?.epoch ?? null };
      const fenced = settings?.fenced ?? false;
      return { ids: planeIds(options, digest), guarded: observed.conf !== undefined, keys, fenced };
    }
    log.info({ actions: actions.map((action) => action.do) }, 'changing the plane');
    await applyPlane({ route, pins, object, digest }, actions);
  }
  throw new SluiceError(
    'conflict',
    'somebody keeps changing the plane',
    'does a second tagqueue run on this node?',
  );
}

async function uplinkOf(route: Netlink, name: IfName): Promise<Link> {
  const link = await findLink(route, name);
  if (link?.ethernet) return link;
  const what = link === undefined ? 'there is no interface' : 'this is no Ethernet interface:';
  throw new SluiceError('not_found', `${what} ${name}`, 'name the uplink with --uplink; see `ip link`');
}

function planeIds({ node, runDir }: PlaneOptions, digest: string): PlaneIds {
  const pins = pinDirectoryOf(runDir, node);
  const programs = PROGRAM_NAMES.map((name) => {
    using program = requireProgram(pins, digest, name);
    return [name, program.id] as const;
  });
  const maps = MAP_NAMES.map((name) => {
    using map = requireMap(pins, name);
    return [name, map.id] as const;
  });
  return {
    node,
    programs: Object.fromEntries(programs) as PlaneIds['programs'],
    maps: Object.fromEntries(maps) as PlaneIds['maps'],
  };
}

function openMaps({ node, runDir }: PlaneOptions, opened: DisposableStack): Map<MapName, BpfMap> {
  const pins = pinDirectoryOf(runDir, node);
  return new Map(MAP_NAMES.map((name) => [name, opened.use(requireMap(pins, name))]));
}

function unknownMap(name: MapName): never {
  throw new SluiceError('internal', `the plane has no map ${name}`, 'this is a defect in sluice');
}
