/** What netd needs of the plane while it attaches a container: the port programs, and which port is whose. */
import {
  type BpfMap,
  type BpfProgram,
  deleteFromMap,
  lookupMap,
  mapById,
  mapEntries,
  programById,
  updateMap,
} from '../linux/bpf.ts';
import { SluiceError } from '../model/errors.ts';
import { decodePort, encodePort, indexKey, indexOfKey, type PortBinding } from './maps.ts';
import type { PlaneIds } from './plane-ids.ts';

/** A node's plane, open in this process. Every call is a system call or two: microseconds, nothing is executed. */
export interface PortPlane extends Disposable {
  readonly programs: { readonly port_in: BpfProgram; readonly port_out: BpfProgram };
  /** Opens the port for its container, and for nobody else. Repeating it replaces the binding. */
  bind(ifindex: number, binding: PortBinding): void;
  /** Shuts the port. One that is not bound is no error. */
  unbind(ifindex: number): void;
  read(ifindex: number): PortBinding | undefined;
  /** All bindings by interface index. */
  list(): Map<number, PortBinding>;
}

/** @throws SluiceError `try_again` when the plane was replaced since it was asked for its ids. */
export function openPortPlane(ids: PlaneIds): PortPlane {
  const opened: Disposable[] = [];
  const keep = <T extends BpfMap | BpfProgram>(what: T | undefined): T => {
    if (what === undefined) {
      for (const earlier of opened) earlier[Symbol.dispose]();
      throw new SluiceError(
        'try_again',
        "the node's plane has just been replaced",
        'ask tagqueue for it again',
      );
    }
    opened.push(what);
    return what;
  };
  const port_in = keep(programById(ids.programs.port_in));
  const port_out = keep(programById(ids.programs.port_out));
  const ports = keep(mapById(ids.maps.ports));
  return {
    programs: { port_in, port_out },
    bind: (ifindex, binding) => updateMap(ports, indexKey(ifindex), encodePort(binding)),
    unbind: (ifindex) => {
      deleteFromMap(ports, indexKey(ifindex));
    },
    read: (ifindex) => {
      const value = lookupMap(ports, indexKey(ifindex));
      return value && decodePort(value);
    },
    list: () => new Map(mapEntries(ports).map(([key, value]) => [indexOfKey(key), decodePort(value)])),
    [Symbol.dispose]: () => {
      for (const object of opened) object[Symbol.dispose]();
    },
  };
}
