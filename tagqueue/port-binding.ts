/** What netd needs of the plane: the port programs, which port is whose, whose mark is which, and where blocks are. */
import {
  type BpfMap,
  type BpfProgram,
  deleteFromMap,
  lookupMap,
  mapById,
  mapEntries,
  openCounters,
  programById,
  updateMap,
} from '../linux/bpf.ts';
import type { Cidr } from '../model/addresses.ts';
import type { Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { MarkMask } from '../model/mark.ts';
import type { ContainerId, IfName } from '../model/names.ts';
import {
  accountKey,
  addressKey,
  type BlockRoute,
  blockKey,
  blockOfKey,
  decodePort,
  decodeRoute,
  decodeShaper,
  encodeAccountName,
  encodePort,
  encodeRoute,
  encodeShaper,
  indexKey,
  indexOfKey,
  type MapName,
  type PortBinding,
  type PortClasses,
  type Shaper,
  sideKey,
  UNLIMITED,
} from './maps.ts';
import type { PlaneIds } from './plane-ids.ts';
import { createTenantIndexes } from './tenant-indexes.ts';

/** What the caller knows of a port; the mark is allotted here, and its rates are a matter of their own. */
export type PortIdentity = Omit<PortBinding, 'mark' | keyof PortClasses>;

/** What stays with an account's figures when the container is gone. */
export interface AccountName {
  readonly container: ContainerId;
  readonly ifName: IfName;
}

const PORT_PROGRAMS = ['port_in', 'port_out', 'shaped_out', 'shaped_in'] as const;
/** What is attached to every port, and to the interfaces through which limited ports lead. */
export type PortPrograms = Readonly<Record<(typeof PORT_PROGRAMS)[number], BpfProgram>>;

export interface PortShaping {
  /** Through which interfaces limited ports lead; undefined: none yet, and limited ports are shut. */
  shaper(side: Side): Shaper | undefined;
  setShaper(side: Side, shaper: Shaper): void;
  /** Leads the port through these classes from now on. One that is not bound is no error. */
  setClasses(ifindex: number, classes: Partial<PortClasses>): void;
}

/** A node's plane, open in this process. Every call is some system calls: microseconds, nothing is executed. */
export interface PortPlane extends Disposable {
  /** What is attached to every port; undefined where the kernel's own rules judge, and nothing has to be. */
  readonly programs: PortPrograms | undefined;
  /** How limited ports are led through their queues; undefined where there are no programs to lead them. */
  readonly shaping: PortShaping | undefined;
  /** Whether packets between nodes go through the tunnel device of the gear `flows`. */
  readonly flows: boolean;
  /**
   * Opens the port for its container, and for nobody else. Repeating it replaces the binding, but for its classes.
   * @throws SluiceError `limited` when this node has as many tenants as the mark can tell apart
   */
  bind(port: PortIdentity, name: AccountName): void;
  /** Shuts the port. One that is not bound is no error. Its account stays until it has been collected. */
  unbind(ifindex: number): void;
  read(ifindex: number): PortBinding | undefined;
  /** All bindings by interface index. */
  list(): Map<number, PortBinding>;
  /** Takes back the marks of tenants who have no port here any more. */
  forgetTenants(): void;
  /** Where the blocks of the other nodes are. */
  routes(): Map<Cidr, BlockRoute>;
  setRoute(block: Cidr, route: BlockRoute): void;
  dropRoute(block: Cidr): void;
}

/** @throws SluiceError `try_again` when the plane was replaced since it was asked for its ids. */
export function openPortPlane(ids: PlaneIds, markMask: MarkMask): PortPlane {
  using opened = new DisposableStack();
  const program = (name: keyof PortPrograms) =>
    [name, opened.use(programById(ids.programs[name]) ?? replaced())] as const;
  const map = (name: MapName): BpfMap => opened.use(mapById(ids.maps[name]) ?? replaced());
  const programs = Object.fromEntries(PORT_PROGRAMS.map(program)) as PortPrograms;
  const [byIndex, byIp, routes] = [map('ports_by_index'), map('ports_by_ip'), map('routes')];
  const shapers = map('shapers');
  const [accounts, names] = [map('accounts'), map('account_names')];
  const indexes = createTenantIndexes(map('tenants'), map('marks'), markMask);
  const kept = opened.move();

  const read = (ifindex: number): PortBinding | undefined => {
    const value = lookupMap(byIndex, indexKey(ifindex));
    return value && decodePort(value);
  };
  const list = (): Map<number, PortBinding> =>
    new Map(mapEntries(byIndex).map(([key, value]) => [indexOfKey(key), decodePort(value)]));
  const unbind = (ifindex: number): void => {
    const bound = read(ifindex);
    if (bound === undefined) return;
    // The fast path leads to the port by its address: that entry goes first, unless it is another port's by now.
    if (ownerOf(byIp, bound) === ifindex) deleteFromMap(byIp, addressKey(bound.address));
    deleteFromMap(byIndex, indexKey(ifindex));
  };

  const write = (port: PortBinding): void => {
    const value = encodePort(port);
    updateMap(byIndex, indexKey(port.ifindex), value);
    if (port.side === 'internal') updateMap(byIp, addressKey(port.address), value);
  };

  const shaping: PortShaping = {
    shaper(side): Shaper | undefined {
      const value = lookupMap(shapers, sideKey(side));
      return value && decodeShaper(value);
    },
    setShaper: (side, shaper) => updateMap(shapers, sideKey(side), encodeShaper(shaper)),
    setClasses(ifindex, classes): void {
      const bound = read(ifindex);
      if (bound !== undefined) write({ ...bound, ...classes });
    },
  };

  return {
    programs,
    shaping,
    flows: false,
    bind(port, name): void {
      openAccount(accounts, names, port, name);
      write({ ...port, mark: indexes.markFor(port.tag), ...classesOf(read(port.ifindex), port) });
    },
    unbind,
    read,
    list,
    forgetTenants: () => indexes.keepOnly([...list().values()].map(({ tag }) => tag)),
    routes: () => new Map(mapEntries(routes).map(([key, value]) => [blockOfKey(key), decodeRoute(value)])),
    setRoute: (block, route) => updateMap(routes, blockKey(block), encodeRoute(route)),
    dropRoute: (block) => {
      deleteFromMap(routes, blockKey(block));
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** The kernel gives indexes again: another container's rates are not this one's. */
function classesOf(bound: PortBinding | undefined, { account }: PortIdentity): PortClasses {
  if (bound?.account !== account) return UNLIMITED;
  return { outClass: bound.outClass, inClass: bound.inClass };
}

/** Before the port is bound: nothing passes uncounted. Figures that are there already are kept. */
function openAccount(
  accounts: BpfMap,
  names: BpfMap,
  { account, tag, side }: PortIdentity,
  name: AccountName,
): void {
  const key = accountKey(account);
  updateMap(names, key, encodeAccountName({ ...name, tag, side }));
  openCounters(accounts, key);
}

function replaced(): never {
  throw new SluiceError('try_again', "the node's plane has just been replaced", 'ask tagqueue for it again');
}

function ownerOf(byIp: BpfMap, { address }: PortBinding): number | undefined {
  const value = lookupMap(byIp, addressKey(address));
  return value && decodePort(value).ifindex;
}
