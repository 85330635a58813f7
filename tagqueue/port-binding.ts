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
  encodeAccountName,
  encodePort,
  encodeRoute,
  indexKey,
  indexOfKey,
  type MapName,
  type PortBinding,
} from './maps.ts';
import type { PlaneIds } from './plane-ids.ts';
import { createTenantIndexes } from './tenant-indexes.ts';

/** What the caller knows of a port; the mark is allotted here. */
export type PortIdentity = Omit<PortBinding, 'mark'>;

/** What stays with an account's figures when the container is gone. */
export interface AccountName {
  readonly container: ContainerId;
  readonly ifName: IfName;
}

/** A node's plane, open in this process. Every call is some system calls: microseconds, nothing is executed. */
export interface PortPlane extends Disposable {
  /** What is attached to every port; undefined where the kernel's own rules judge, and nothing has to be. */
  readonly programs: { readonly port_in: BpfProgram; readonly port_out: BpfProgram } | undefined;
  /** Whether packets between nodes go through the tunnel device of the gear `flows`. */
  readonly flows: boolean;
  /**
   * Opens the port for its container, and for nobody else. Repeating it replaces the binding.
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
  const program = (name: 'port_in' | 'port_out'): BpfProgram =>
    opened.use(programById(ids.programs[name]) ?? replaced());
  const map = (name: MapName): BpfMap => opened.use(mapById(ids.maps[name]) ?? replaced());
  const programs = { port_in: program('port_in'), port_out: program('port_out') };
  const [byIndex, byIp, routes] = [map('ports_by_index'), map('ports_by_ip'), map('routes')];
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

  return {
    programs,
    flows: false,
    bind(port, name): void {
      const value = encodePort({ ...port, mark: indexes.markFor(port.tag) });
      openAccount(accounts, names, port, name);
      updateMap(byIndex, indexKey(port.ifindex), value);
      if (port.side === 'internal') updateMap(byIp, addressKey(port.address), value);
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
