/** Reads the plane from the kernel, as plain records. */
import { type BpfMap, mapById, mapEntries, pinnedMap, pinnedProgram, programById } from '../linux/bpf.ts';
import { listLinks } from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import { listPrograms } from '../linux/tc.ts';
import { SluiceError } from '../model/errors.ts';
import type { KeyBits } from '../model/keys.ts';
import type { KeyEpoch } from '../model/names.ts';
import * as maps from './maps.ts';
import { MAP_NAMES, type MapName, type PlaneConf, PROGRAM_NAMES, type ProgramName } from './maps.ts';
import { mapPin, type PinDirectory, pinnedDigests, programPin } from './pins.ts';
import type { AttachedProgram, ObservedPlane } from './plan.ts';

/** Our programs' names in `tc filter show` begin so. */
const TC_NAME = 'sluice_';

export function tcNameOf(name: ProgramName): string {
  return `${TC_NAME}${name}`;
}

/**
 * @param digest  of the object whose programs should run
 * @param uplink  interface index
 * @throws SluiceError `conflict` when a stranger's program has our place on the uplink.
 */
export async function observePlane(
  route: Netlink,
  pins: PinDirectory,
  digest: string,
  uplink: number,
): Promise<ObservedPlane> {
  const attached = await observeAttached(route, uplink);
  const pinned = pinnedMaps(pins);
  const usedMaps = mapsUsedBy(attached);
  const contents = <T>(name: MapName, read: (map: BpfMap) => T): T | undefined => {
    const id = pinned.get(name) ?? usedMaps.get(name);
    using map = id === undefined ? undefined : mapById(id);
    return map && read(map);
  };
  return {
    maps: new Set(pinned.keys()),
    usedMaps,
    programs: pinnedPrograms(pins, digest),
    outdated: pinnedDigests(pins).filter((other) => other !== digest),
    attached,
    conf: contents('settings', readConf),
    keys: contents('keys', readKeys) ?? new Map(),
    etherTypes: contents('ethertypes', readEtherTypes) ?? new Set(),
  };
}

/** On every link that carries our programs, whoever put them there. */
async function observeAttached(route: Netlink, uplink: number): Promise<AttachedProgram[]> {
  const found: AttachedProgram[] = [];
  for (const { index, name } of await listLinks(route)) {
    for (const program of await listPrograms(route, index)) {
      const ours = PROGRAM_NAMES.find((candidate) => tcNameOf(candidate) === program.name);
      if (ours !== undefined) found.push({ ifindex: index, name: ours, id: program.programId });
      else if (index === uplink) throw occupied(name, program.name);
    }
  }
  return found;
}

function occupied(uplink: string, program: string): SluiceError {
  return new SluiceError(
    'conflict',
    `the program '${program}' has the first place on ${uplink}, where the fence must stand`,
    `move it to a later priority: \`tc filter show dev ${uplink} ingress\`, and the same for egress`,
  );
}

function pinnedMaps(pins: PinDirectory): Map<MapName, number> {
  const found = new Map<MapName, number>();
  for (const name of MAP_NAMES) {
    using map = pinnedMap(mapPin(pins, name));
    if (map !== undefined) found.set(name, map.id);
  }
  return found;
}

function pinnedPrograms(pins: PinDirectory, digest: string): Map<ProgramName, number> {
  const found = new Map<ProgramName, number>();
  for (const name of PROGRAM_NAMES) {
    using program = pinnedProgram(programPin(pins, digest, name));
    if (program !== undefined) found.set(name, program.id);
  }
  return found;
}

/** Programs keep their maps alive, also when the mount namespace with the pins is gone. */
function mapsUsedBy(attached: readonly AttachedProgram[]): Map<MapName, number> {
  const found = new Map<MapName, number>();
  for (const programId of new Set(attached.map(({ id }) => id))) {
    using program = programById(programId);
    for (const mapId of program?.mapIds ?? []) {
      using map = mapById(mapId);
      const name = MAP_NAMES.find((candidate) => candidate === map?.name);
      if (name !== undefined) found.set(name, mapId);
    }
  }
  return found;
}

function readConf(map: BpfMap): PlaneConf | undefined {
  return mapEntries(map).map(([, value]) => maps.decodeConf(value))[0];
}

function readKeys(map: BpfMap): Map<KeyEpoch, KeyBits> {
  const keys = new Map<KeyEpoch, KeyBits>();
  for (const [epoch, value] of mapEntries(map)) {
    const secret = maps.decodeKey(value)?.toString('hex');
    if (secret !== undefined) keys.set(maps.indexOfKey(epoch) as KeyEpoch, secret as KeyBits);
  }
  return keys;
}

function readEtherTypes(map: BpfMap): Set<number> {
  return new Set(mapEntries(map).map(([key]) => maps.ethertypeOfKey(key)));
}
