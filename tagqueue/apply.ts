/** Carries out plane actions. Every action may be repeated, and a crash between any two leaves the fence shut. */
import { deleteFromMap, mapById, pinnedMap, updateMap } from '../linux/bpf.ts';
import { loadObject } from '../linux/bpf-object.ts';
import { removePins, replacePin } from '../linux/bpffs.ts';
import type { Netlink } from '../linux/netlink.ts';
import { addClsact, attachProgram } from '../linux/tc.ts';
import { SluiceError } from '../model/errors.ts';
import * as maps from './maps.ts';
import { MAP_NAMES, type MapName, PROGRAM_NAMES, type ProgramName } from './maps.ts';
import { tcNameOf } from './observe.ts';
import { mapPin, type PinDirectory, programPin, programPins, requireMap, requireProgram } from './pins.ts';
import type { PlaneAction } from './plan.ts';

export interface PlaneContext {
  readonly route: Netlink;
  readonly pins: PinDirectory;
  /** The object file and its digest. */
  readonly object: string;
  readonly digest: string;
}

const DIRECTIONS = {
  port_in: 'ingress',
  port_out: 'egress',
  shaped_out: 'ingress',
  shaped_in: 'ingress',
  uplink_in: 'ingress',
  uplink_out: 'egress',
} as const satisfies Record<ProgramName, string>;

/**
 * Applies in order and stops at the first refusal: the caller observes and plans again, so there is nothing to undo.
 * @throws SluiceError `kernel_refused` naming what was refused.
 */
export async function applyPlane(context: PlaneContext, actions: readonly PlaneAction[]): Promise<void> {
  for (const action of actions) await applyOne(context, action);
}

function applyOne(context: PlaneContext, action: PlaneAction): Promise<void> | void {
  switch (action.do) {
    case 'adopt-map':
      return adoptMap(context, action.name, action.id);
    case 'load':
      return load(context);
    case 'allow-ethertype':
      return update(context, 'ethertypes', maps.ethertypeKey(action.etherType), maps.ETHERTYPE_ALLOWED);
    case 'forbid-ethertype':
      return forbid(context, action.etherType);
    case 'set-key':
      return update(
        context,
        'keys',
        maps.indexKey(action.epoch),
        maps.encodeKey(Buffer.from(action.secret, 'hex')),
      );
    case 'withdraw-key':
      return update(context, 'keys', maps.indexKey(action.epoch), maps.encodeKey(undefined));
    case 'configure':
      return update(context, 'settings', maps.indexKey(0), maps.encodeConf(action.conf));
    case 'attach':
      return attach(context, action.ifindex, action.name);
    case 'forget-programs':
      return removePins(programPins(context.pins, action.digest));
  }
}

function adoptMap({ pins }: PlaneContext, name: MapName, id: number): void {
  using map = mapById(id);
  if (map === undefined) throw changedMeanwhile(name);
  replacePin(map, mapPin(pins, name));
}

/** Maps are pinned before programs: pinned programs are the sign that all is there. */
function load({ pins, object, digest }: PlaneContext): void {
  using existing = new DisposableStack();
  const reuse = new Map(
    MAP_NAMES.flatMap((name) => {
      const map = pinnedMap(mapPin(pins, name));
      return map === undefined ? [] : [[name as string, existing.use(map)] as const];
    }),
  );
  using loaded = loadObject(object, reuse);
  for (const name of MAP_NAMES) {
    if (!reuse.has(name)) replacePin(part(loaded.maps, name, object), mapPin(pins, name));
  }
  for (const name of PROGRAM_NAMES) {
    replacePin(part(loaded.programs, name, object), programPin(pins, digest, name));
  }
}

function part<T>(parts: ReadonlyMap<string, T>, name: string, object: string): T {
  const found = parts.get(name);
  if (found !== undefined) return found;
  throw new SluiceError(
    'kernel_refused',
    `the eBPF object ${object} has no ${name}`,
    'build it again: run set-up',
  );
}

function update({ pins }: PlaneContext, name: MapName, key: Buffer, value: Buffer): void {
  using map = requireMap(pins, name);
  updateMap(map, key, value);
}

function forbid({ pins }: PlaneContext, etherType: number): void {
  using map = requireMap(pins, 'ethertypes');
  deleteFromMap(map, maps.ethertypeKey(etherType));
}

async function attach(
  { route, pins, digest }: PlaneContext,
  ifindex: number,
  name: ProgramName,
): Promise<void> {
  using program = requireProgram(pins, digest, name);
  await addClsact(route, ifindex);
  await attachProgram(route, {
    ifindex,
    direction: DIRECTIONS[name],
    programFd: program.fd,
    name: tcNameOf(name),
  });
}

function changedMeanwhile(name: MapName): SluiceError {
  return new SluiceError('try_again', `the map ${name} went away while it was being adopted`, 'try again');
}
