/** Decides how the plane becomes what it should be: maps, programs, keys, and what is attached where. */
import type { KeyBits } from '../model/keys.ts';
import type { KeyEpoch } from '../model/names.ts';
import {
  encodeConf,
  MAP_NAMES,
  type MapName,
  type PlaneConf,
  PROGRAM_NAMES,
  type ProgramName,
} from './maps.ts';

export interface DesiredPlane {
  /** Names the object file whose programs should run. */
  readonly digest: string;
  readonly uplink: number;
  readonly etherTypes: ReadonlySet<number>;
  /** Undefined until the node has heard from the server for the first time. */
  readonly cluster: { readonly conf: PlaneConf; readonly keys: ReadonlyMap<KeyEpoch, KeyBits> } | undefined;
}

/** A program in our place on an interface. */
export interface AttachedProgram {
  readonly ifindex: number;
  readonly name: ProgramName;
  readonly id: number;
}

export interface ObservedPlane {
  /** Maps that are pinned. */
  readonly maps: ReadonlySet<MapName>;
  /** Maps that attached programs use, by id. */
  readonly usedMaps: ReadonlyMap<MapName, number>;
  /** The desired object's programs, as far as they are pinned, by id. */
  readonly programs: ReadonlyMap<ProgramName, number>;
  /** Digests of other objects whose programs are pinned. */
  readonly outdated: readonly string[];
  readonly attached: readonly AttachedProgram[];
  /** Undefined as long as it was never written. */
  readonly conf: PlaneConf | undefined;
  readonly keys: ReadonlyMap<KeyEpoch, KeyBits>;
  readonly etherTypes: ReadonlySet<number>;
}

export type PlaneAction =
  | { readonly do: 'adopt-map'; readonly name: MapName; readonly id: number }
  /** Loads the object's programs over the pinned maps, makes the maps that are missing, and pins all. */
  | { readonly do: 'load'; readonly digest: string }
  | { readonly do: 'allow-ethertype'; readonly etherType: number }
  | { readonly do: 'forbid-ethertype'; readonly etherType: number }
  | { readonly do: 'set-key'; readonly epoch: KeyEpoch; readonly secret: KeyBits }
  | { readonly do: 'withdraw-key'; readonly epoch: KeyEpoch }
  | { readonly do: 'configure'; readonly conf: PlaneConf }
  | { readonly do: 'attach'; readonly ifindex: number; readonly name: ProgramName }
  | { readonly do: 'forget-programs'; readonly digest: string };

/**
 * Plans from what is wanted and what is there. There is no action that detaches: a program gives its place to
 * its successor and to nothing else.
 *
 * The order keeps the fence shut and flows alive at every step: maps with their content are found before programs
 * are made that would want new ones; a key is there before anything is stamped with it, and goes last; the uplink
 * gets its programs only when they know the pool, because without one they would take all traffic for internal.
 */
export function planPlane(desired: DesiredPlane, observed: ObservedPlane): PlaneAction[] {
  const load =
    PROGRAM_NAMES.some((name) => !observed.programs.has(name)) ||
    MAP_NAMES.some((name) => !observed.maps.has(name));
  return [
    ...(load ? planLoad(desired, observed) : []),
    ...planEtherTypes(desired, observed),
    ...planCluster(desired, observed),
    ...planAttachments(desired, observed, load),
    ...withdrawnKeys(desired, observed).map((epoch): PlaneAction => ({ do: 'withdraw-key', epoch })),
    ...observed.outdated.map((digest): PlaneAction => ({ do: 'forget-programs', digest })),
  ];
}

function planLoad(desired: DesiredPlane, observed: ObservedPlane): PlaneAction[] {
  const lost = MAP_NAMES.filter((name) => !observed.maps.has(name));
  const adopted = lost.flatMap((name): PlaneAction[] => {
    const id = observed.usedMaps.get(name);
    return id === undefined ? [] : [{ do: 'adopt-map', name, id }];
  });
  return [...adopted, { do: 'load', digest: desired.digest }];
}

function planEtherTypes(desired: DesiredPlane, observed: ObservedPlane): PlaneAction[] {
  const missing = [...desired.etherTypes].filter((etherType) => !observed.etherTypes.has(etherType));
  const extra = [...observed.etherTypes].filter((etherType) => !desired.etherTypes.has(etherType));
  return [
    ...missing.map((etherType): PlaneAction => ({ do: 'allow-ethertype', etherType })),
    ...extra.map((etherType): PlaneAction => ({ do: 'forbid-ethertype', etherType })),
  ];
}

function planCluster({ cluster }: DesiredPlane, observed: ObservedPlane): PlaneAction[] {
  if (cluster === undefined) return [];
  const changed = [...cluster.keys].filter(([epoch, secret]) => observed.keys.get(epoch) !== secret);
  return [
    ...changed.map(([epoch, secret]): PlaneAction => ({ do: 'set-key', epoch, secret })),
    ...(sameConf(observed.conf, cluster.conf) ? [] : [{ do: 'configure', conf: cluster.conf } as const]),
  ];
}

/** Without news from the server the keys of before stay good. */
function withdrawnKeys({ cluster }: DesiredPlane, observed: ObservedPlane): KeyEpoch[] {
  return cluster === undefined ? [] : [...observed.keys.keys()].filter((epoch) => !cluster.keys.has(epoch));
}

/** Ports first: in an upgrade that makes checks stricter they are the ones closest to the tenants. */
function planAttachments(desired: DesiredPlane, observed: ObservedPlane, load: boolean): PlaneAction[] {
  const isCurrent = ({ name, id }: AttachedProgram): boolean => !load && observed.programs.get(name) === id;
  const onPorts = observed.attached.filter(({ ifindex }) => ifindex !== desired.uplink);
  const replaced = onPorts.filter((program) => !isCurrent(program));
  const configured = desired.cluster !== undefined || observed.conf !== undefined;
  const onUplink = configured ? (['uplink_in', 'uplink_out'] as const) : [];
  const missing = onUplink.filter(
    (wanted) =>
      !observed.attached.some(
        (program) => program.ifindex === desired.uplink && program.name === wanted && isCurrent(program),
      ),
  );
  return [
    ...replaced.map(({ ifindex, name }): PlaneAction => ({ do: 'attach', ifindex, name })),
    ...missing.map((name): PlaneAction => ({ do: 'attach', ifindex: desired.uplink, name })),
  ];
}

function sameConf(a: PlaneConf | undefined, b: PlaneConf): boolean {
  return a !== undefined && encodeConf(a).equals(encodeConf(b));
}
