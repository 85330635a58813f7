/**
 * Decides what a node does for the volumes of the cluster: its own bricks, and as a volume's coordinator Gluster's orders.
 * Pure. What is planned is done in order and may be repeated; when all is as it should be the plan is empty.
 */
import type { Ipv4 } from '../model/addresses.ts';
import { brickNeed } from '../model/brick-size.ts';
import type { NodeName } from '../model/names.ts';
import { type Brick, glusterName, replicaSetsOf, type Volume, VolumeId } from '../model/volume.ts';
import type { BrickReport } from '../model/volume-report.ts';
import type { GlusterVolume, HeldBrick, NewGlusterVolume, WantedBrick } from './contract.ts';

export type GlusterOptions = Readonly<Record<string, string>>;

export type Action = { readonly volume: VolumeId } & (
  | { readonly do: 'brick'; readonly brick: WantedBrick }
  | { readonly do: 'remove-brick'; readonly index: number }
  | { readonly do: 'probe'; readonly address: Ipv4 }
  | { readonly do: 'create'; readonly create: NewGlusterVolume; readonly options: GlusterOptions }
  | { readonly do: 'set'; readonly options: GlusterOptions }
  | { readonly do: 'replace'; readonly index: number; readonly from: string; readonly to: string }
  | { readonly do: 'detach'; readonly address: Ipv4 }
  | { readonly do: 'start' }
  | { readonly do: 'stop' }
  | { readonly do: 'delete' }
);

/** What this node's glusterd knows. */
export interface GlusterPicture {
  readonly volumes: readonly GlusterVolume[];
  /** Addresses of full members but this node. */
  readonly members: readonly string[];
}

export interface PlanInput {
  readonly node: NodeName;
  readonly volumes: Iterable<Volume>;
  readonly bricks: readonly HeldBrick[];
  /** undefined: it does not run, or does not answer; then nothing is planned that depends on what it knows. */
  readonly gluster: GlusterPicture | undefined;
  /** Where this node's glusterd listens; no peer of itself. */
  readonly address: Ipv4 | undefined;
  /** Of all nodes of the cluster; a peer that is none of them has left. */
  readonly members: ReadonlySet<string>;
  /** By number, what nodes have last told of a volume's bricks. */
  told(volume: Volume): readonly (BrickReport | undefined)[];
  /** As Gluster is to have it. */
  optionsOf(volume: Volume): GlusterOptions;
}

/** Volumes do not wait for each other, so the plan of each stands by itself. */
export function planVolumes(input: PlanInput): ReadonlyMap<VolumeId, readonly Action[]> {
  const plans = new Map<VolumeId, readonly Action[]>();
  for (const volume of input.volumes) {
    const actions = [
      ...planBricks(volume, input),
      ...(volume.coordinator === input.node
        ? [...planDepartures(volume, input), ...planOrders(volume, input)]
        : []),
      // Last: Gluster must have forgotten the volume, or the brick, before what it lies on goes.
      ...planRemoval(volume, input),
      ...planLeftovers(volume, input),
    ];
    if (actions.length > 0) plans.set(volume.id, actions);
  }
  return plans;
}

/** Whether this node has to do with it, so that it needs a glusterd. */
export function concerns(volume: Volume, node: NodeName): boolean {
  return volume.coordinator === node || volume.bricks.some((brick) => brick.node === node);
}

/** What is wanted of the brick; for the volume's `index`th. */
export function wantedBrick(volume: Volume, index: number): WantedBrick | undefined {
  if (volume.bricks[index] === undefined) return undefined;
  return { volume: volume.id, index, ...brickNeed(volume, index) };
}

/** Whether a brick is what its volume wants: it never shrinks, so more than wanted is enough. */
export function isAsWanted(held: HeldBrick | undefined, wanted: WantedBrick): boolean {
  if (held === undefined || !held.mounted) return false;
  return held.bytes >= wanted.bytes && held.inodes === wanted.inodes && held.thin === wanted.thin;
}

/** Bricks that no volume on record wants. They are not taken away: a server that has forgotten much may remember again. */
export function strayBricks(
  volumes: ReadonlyMap<VolumeId, Volume>,
  bricks: readonly HeldBrick[],
): HeldBrick[] {
  return bricks.filter(({ volume, index }) => volumes.get(volume)?.bricks[index] === undefined);
}

/** Gluster's volumes whose names are ours. */
export function isOurs(name: string): boolean {
  return name.startsWith('sluice-') && VolumeId.safeParse(name.slice('sluice-'.length)).success;
}

function planBricks(volume: Volume, { node, bricks }: PlanInput): Action[] {
  if (volume.phase === 'removing') return [];
  return volume.bricks.flatMap((brick, index): Action[] => {
    const wanted = wantedBrick(volume, index);
    if (brick.node !== node || wanted === undefined) return [];
    const held = bricks.find((one) => one.volume === volume.id && one.index === index);
    if (isAsWanted(held, wanted)) return [];
    // What has grown stays so, also when the volume could not: only as many files as are wanted now.
    const bytes = Math.max(held?.bytes ?? 0, wanted.bytes);
    return [{ volume: volume.id, do: 'brick', brick: { ...wanted, bytes } }];
  });
}

function planRemoval(volume: Volume, { bricks, gluster }: PlanInput): Action[] {
  if (volume.phase !== 'removing') return [];
  const held = bricks.filter((one) => one.volume === volume.id);
  if (held.length === 0 || gluster === undefined || known(volume, gluster) !== undefined) return [];
  return held.map(({ index }) => ({ volume: volume.id, do: 'remove-brick', index }));
}

/** A brick that has moved to another node, which Gluster uses no more. */
function planLeftovers(volume: Volume, { node, address, bricks, gluster }: PlanInput): Action[] {
  const present = gluster && known(volume, gluster);
  if (volume.phase === 'removing' || present === undefined || address === undefined) return [];
  return bricks
    .filter((one) => one.volume === volume.id && isElsewhere(volume.bricks[one.index], node))
    .filter(({ path }) => present.bricks.every(({ name }) => name !== `${address}:${path}`))
    .map(({ index }) => ({ volume: volume.id, do: 'remove-brick', index }));
}

/** Whether the volume's brick is to be on another node than this. */
export function isElsewhere(brick: Brick | undefined, node: NodeName): boolean {
  return brick !== undefined && brick.node !== node;
}

/** While a peer is away Gluster deletes no volume at all; of one that has left it would wait for ever. */
function planDepartures({ id }: Volume, { gluster, members }: PlanInput): Action[] {
  if (gluster === undefined) return [];
  const holders = new Set(gluster.volumes.flatMap(({ bricks }) => bricks.map(({ name }) => addressOf(name))));
  return gluster.members
    .map((address) => address as Ipv4)
    .filter((address) => !(members.has(address) || holders.has(address)))
    .map((address) => ({ volume: id, do: 'detach', address }));
}

function planOrders(volume: Volume, input: PlanInput): Action[] {
  const { gluster } = input;
  if (gluster === undefined) return [];
  const present = known(volume, gluster);
  switch (volume.phase) {
    case 'creating':
      return present === undefined
        ? planCreation(volume, gluster, input)
        : planUpkeep(volume, present, input);
    case 'ready':
      // One that Gluster has lost is not made anew over its data; the report says so.
      return present === undefined ? [] : planUpkeep(volume, present, input);
    case 'deleted':
      return present?.state === 'started' ? [{ volume: volume.id, do: 'stop' }] : [];
    case 'removing':
      return present === undefined ? [] : planEnd(volume, present);
  }
}

/** Nothing before every brick is there: what Gluster has made is not to be taken back for the lack of one. */
function planCreation(volume: Volume, gluster: GlusterPicture, input: PlanInput): Action[] {
  const told = input.told(volume);
  const paths = volume.bricks.map((_, index) => readyPath(volume, told[index]));
  if (!paths.every((path) => path !== undefined)) return [];
  const strangers = new Set(
    volume.bricks.map(({ address }) => address).filter((address) => isStranger(address, gluster, input)),
  );
  const [set = []] = replicaSetsOf(volume);
  const create: NewGlusterVolume = {
    name: glusterName(volume.id),
    layout: volume.layout,
    replicas: set.length,
    arbiters: set.filter(({ role }) => role === 'arbiter').length,
    bricks: volume.bricks.map(({ address }, index) => `${address}:${paths[index]}`),
  };
  return [
    ...[...strangers].map((address): Action => ({ volume: volume.id, do: 'probe', address })),
    { volume: volume.id, do: 'create', create, options: input.optionsOf(volume) },
    { volume: volume.id, do: 'start' },
  ];
}

function isStranger(address: Ipv4, { members }: GlusterPicture, input: PlanInput): boolean {
  if (address === input.address) return false;
  return !members.includes(address);
}

function readyPath(volume: Volume, brick: BrickReport | undefined): string | undefined {
  return brick?.state === 'ready' && brick.generation >= volume.generation ? brick.path : undefined;
}

/** Options before the start: clients come as soon as it has started. */
function planUpkeep(volume: Volume, present: GlusterVolume, input: PlanInput): Action[] {
  const wanted = Object.entries(input.optionsOf(volume));
  const changed = wanted.filter(([name, value]) => present.options[name] !== value);
  return [
    ...(changed.length === 0
      ? []
      : [{ volume: volume.id, do: 'set', options: Object.fromEntries(changed) } satisfies Action]),
    ...(present.state === 'started' ? [] : [{ volume: volume.id, do: 'start' } satisfies Action]),
    ...planMoves(volume, present, input),
  ];
}

/** Whether Gluster has a brick of it on another node than it is to be on. */
export function isMoving({ bricks }: Volume, present: GlusterVolume): boolean {
  return bricks.some(({ address }, index) => isAway(address, present.bricks[index]?.name));
}

function isAway(address: Ipv4, name: string | undefined): name is string {
  return name !== undefined && addressOf(name) !== address;
}

/** The new brick first: what Gluster has stays as it is for the lack of one. */
function planMoves(volume: Volume, present: GlusterVolume, input: PlanInput): Action[] {
  const { gluster } = input;
  if (gluster === undefined || !isMoving(volume, present)) return [];
  const told = input.told(volume);
  return volume.bricks.flatMap(({ address }, index): Action[] => {
    const from = present.bricks[index]?.name;
    const path = readyPath(volume, told[index]);
    if (!isAway(address, from) || path === undefined) return [];
    return [
      ...(isStranger(address, gluster, input)
        ? [{ volume: volume.id, do: 'probe', address } satisfies Action]
        : []),
      { volume: volume.id, do: 'replace', index, from, to: `${address}:${path}` },
    ];
  });
}

/** Of ADDRESS:PATH. */
function addressOf(name: string): string {
  return name.slice(0, name.indexOf(':'));
}

function planEnd(volume: Volume, present: GlusterVolume): Action[] {
  return [
    ...(present.state === 'started' ? [{ volume: volume.id, do: 'stop' } satisfies Action] : []),
    { volume: volume.id, do: 'delete' },
  ];
}

function known({ id }: Volume, { volumes }: GlusterPicture): GlusterVolume | undefined {
  const name = glusterName(id);
  return volumes.find((one) => one.name === name);
}
