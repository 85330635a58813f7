/** What becomes of a volume next, by what nodes have told and by the time: its phases, its coordinator, its hosts. Pure. */
import type { ClusterNode } from '../../model/cluster.ts';
import type { NodeName } from '../../model/names.ts';
import type { Volume, VolumeId } from '../../model/volume.ts';
import type { BrickReport, VolumeReport } from '../../model/volume-report.ts';
import type { OperationId } from './authorization.ts';
import { brickKey, HOST_IDLE_MS, type NodeStorage } from './volume-reports.ts';
import type { Growth, KeptVolume } from './volume-store.ts';

/** A volume that is not there by then will not be. */
export const CREATED_WITHIN_MS = 60_000;

/** A daemon that is started anew, or that waits for a busy machine, is back sooner: two who give orders are in each other's way. */
export const COORDINATOR_SILENT_MS = 10_000;
/** The time in which another coordinator could still have made it without that node's word is over. */
export const MAKER_SILENT_MS = 20_000;

export interface StorageWorld {
  /** Unix ms. */
  readonly now: number;
  readonly nodes: ReadonlyMap<NodeName, ClusterNode>;
  /** A node's last words. */
  told(node: NodeName): NodeStorage | undefined;
  /** For how long it has said nothing, ms; since the server's start where it never has. */
  silentMs(node: NodeName): number;
  /** For how long it has had nothing of a volume mounted, ms; since the server's start where it never had. */
  idleMs(volume: VolumeId, node: NodeName): number;
}

export interface Step {
  /** For the audit log, and for tests of crashes. */
  readonly point: 'ready' | 'removing' | 'gone' | 'coordinator' | 'hosts' | 'grown' | 'shrunk-back';
  readonly operation: OperationId;
  /** One sentence. */
  readonly why: string;
  /** Whether what was asked for could not be had. */
  readonly failed: boolean;
  /** null: the record goes. */
  readonly to: Volume | null;
  /** Whether what it was before it was grown need not be remembered any longer. */
  readonly endsGrowth: boolean;
}

/** @param growth  where the volume is being grown */
export function nextStep(
  kept: KeptVolume,
  growth: Growth | undefined,
  world: StorageWorld,
): Step | undefined {
  const { one } = kept;
  const own = stepOfPhase(kept, growth, world);
  return own ?? newCoordinator(one, world) ?? otherHosts(one, world);
}

function stepOfPhase(kept: KeptVolume, growth: Growth | undefined, world: StorageWorld): Step | undefined {
  const { one } = kept;
  switch (one.phase) {
    case 'creating':
      return creation(one, world);
    case 'ready':
      return growth && growthStep(one, growth, world);
    case 'deleted':
      if (one.removeAt === null || one.removeAt > world.now) return undefined;
      return toRemoving(one, 'volume.delete', 'its data was kept for as long as that was promised', false);
    case 'removing':
      if (!isGone(kept, world)) return undefined;
      return {
        ...{ point: 'gone', operation: 'volume.delete', why: 'nothing of it is left', failed: false },
        ...{ to: null, endsGrowth: true },
      };
  }
}

function creation(one: Volume, world: StorageWorld): Step | undefined {
  const order = orderOf(one, world);
  if (order?.state === 'started')
    return {
      ...{ point: 'ready', operation: 'volume.create', why: 'it can be mounted', failed: false },
      ...{ to: { ...one, phase: 'ready' }, endsGrowth: false },
    };
  const failure = failureOf(one, one.generation, world) ?? deadMaker(one, world);
  if (failure !== undefined) return toRemoving(one, 'volume.create', failure, true);
  if (world.now - one.createdAt < CREATED_WITHIN_MS) return undefined;
  const why = `it was not there after ${CREATED_WITHIN_MS / 1_000} s: ${lacking(one, one.generation, world)}`;
  return toRemoving(one, 'volume.create', why, true);
}

/** Bricks that have grown cannot become smaller again, so they keep what they have. */
function growthStep(one: Volume, { generation, before }: Growth, world: StorageWorld): Step | undefined {
  const answers = one.bricks.map((_, index) => answerOf(one, index, generation, world));
  if (answers.every((answer) => answer?.state === 'ready'))
    return {
      ...{ point: 'grown', operation: 'volume.resize', why: 'all its bricks have grown', failed: false },
      ...{ to: one, endsGrowth: true },
    };
  const failure = failureOf(one, generation, world);
  // The others' answers tell what to go back to.
  if (failure === undefined || answers.some((answer) => answer === undefined)) return undefined;
  const bricks = one.bricks.map((brick, index) =>
    answers[index]?.state === 'ready' ? brick : { ...brick, bytes: before.bricks[index] ?? brick.bytes },
  );
  const hasGrown = answers.some((answer) => answer?.state === 'ready');
  const inodes = hasGrown ? one.inodes : before.inodes;
  const to = { ...one, sizeBytes: before.sizeBytes, inodes, bricks, generation: one.generation + 1 };
  return {
    ...{ point: 'shrunk-back', operation: 'volume.resize', why: failure, failed: true },
    ...{ to, endsGrowth: true },
  };
}

/** Only those that hold a brick of it are certain to know of it. */
function newCoordinator(one: Volume, world: StorageWorld): Step | undefined {
  const { coordinator: former } = one;
  const known = world.nodes.get(former);
  const isOut = known === undefined || known.fenced;
  if (!isOut && world.silentMs(former) < COORDINATOR_SILENT_MS) return undefined;
  const next = one.bricks.find(({ node }) => node !== former && canBeAsked(node, world))?.node;
  if (next === undefined) return undefined;
  const why = isOut
    ? `node ${former} is no longer to be trusted with it`
    : `node ${former} has not been heard of for ${Math.round(world.silentMs(former) / 1_000)} s`;
  return {
    ...{
      point: 'coordinator',
      operation: 'storage.report',
      why: `${why}: node ${next} coordinates`,
      failed: false,
    },
    ...{ to: { ...one, coordinator: next, generation: one.generation + 1 }, endsGrowth: false },
  };
}

/** Who was shut out must not mount it again, and who has not had it mounted for long asks again before it does. */
function otherHosts(one: Volume, world: StorageWorld): Step | undefined {
  if (one.phase === 'removing') return undefined;
  const mayStay = (host: NodeName): boolean => world.nodes.get(host)?.fenced === false;
  const out = one.hosts.filter((host) => !mayStay(host) || isIdle(one, host, world));
  // Its client lives, and would be refused when its connection breaks.
  const back = [...world.nodes.keys()].filter(
    (node) => !one.hosts.includes(node) && mayStay(node) && hasMounted(one, node, world),
  );
  if (out.length + back.length === 0) return undefined;
  const hosts = [...one.hosts.filter((host) => !out.includes(host)), ...back].sort();
  const said = [
    ...(out.length === 0 ? [] : [`no longer let in: ${out.join(', ')}`]),
    ...(back.length === 0 ? [] : [`still mounted on: ${back.join(', ')}`]),
  ];
  return {
    ...{ point: 'hosts', operation: 'volume.hosts', why: said.join('; '), failed: false },
    ...{ to: { ...one, hosts, generation: one.generation + 1 }, endsGrowth: false },
  };
}

function isIdle({ id }: Volume, host: NodeName, { told, idleMs }: StorageWorld): boolean {
  return told(host)?.reachable === true && idleMs(id, host) >= HOST_IDLE_MS;
}

function hasMounted({ id }: Volume, node: NodeName, { told }: StorageWorld): boolean {
  const last = told(node);
  return last?.reachable === true && last.mounts.some(({ volume }) => volume === id);
}

function toRemoving(one: Volume, operation: OperationId, why: string, failed: boolean): Step {
  const to: Volume = { ...one, phase: 'removing', removeAt: null, generation: one.generation + 1 };
  return { point: 'removing', operation, why, failed, to, endsGrowth: true };
}

/** When every node that had anything of it says that it has not, knowing that it should not. */
function isGone({ one, revision }: KeptVolume, { nodes, told }: StorageWorld): boolean {
  const has = (node: NodeName): boolean =>
    [...(told(node)?.bricks.values() ?? [])].some(({ volume }) => volume === one.id);
  // From where its bricks were moved something may be left yet.
  const former = [...nodes.values()].filter(({ node, fenced }) => !fenced && has(node));
  const concerned = new Set([
    ...one.bricks.map(({ node }) => node),
    one.coordinator,
    ...former.map(({ node }) => node),
  ]);
  // Of a node that was taken out of the cluster nothing will ever be heard.
  return [...concerned]
    .filter((node) => nodes.has(node))
    .every((node) => {
      const last = told(node);
      if (last === undefined || !last.reachable || last.revision < revision) return false;
      if (has(node)) return false;
      // Silence about Gluster is no answer: it may not run.
      return node !== one.coordinator || orderOf(one, { told })?.state === 'absent';
    });
}

/** The coordinator's word on what was asked for last. */
export function orderOf(one: Volume, { told }: Pick<StorageWorld, 'told'>): VolumeReport | undefined {
  const order = told(one.coordinator)?.volumes.get(one.id);
  return order !== undefined && order.generation >= one.generation ? order : undefined;
}

/** A node's word on a brick of it, if it is about this generation or a later one. */
export function answerOf(
  one: Volume,
  index: number,
  generation: number,
  { told }: Pick<StorageWorld, 'told'>,
): BrickReport | undefined {
  const brick = one.bricks[index];
  const answer = brick && told(brick.node)?.bricks.get(brickKey(one.id, index));
  return answer !== undefined && answer.generation >= generation ? answer : undefined;
}

function failureOf(one: Volume, generation: number, world: StorageWorld): string | undefined {
  for (const [index, { node }] of one.bricks.entries()) {
    const answer = answerOf(one, index, generation, world);
    if (answer?.state === 'failed') return `brick ${index} on node ${node}: ${answer.why ?? 'it failed'}`;
  }
  const order = one.phase === 'creating' ? orderOf(one, world) : undefined;
  return order?.state === 'failed' ? `node ${one.coordinator}: ${order.why ?? 'Gluster failed'}` : undefined;
}

/** Without it the volume cannot be made, and whoever asked for it need not wait for the rest of the minute. */
function deadMaker(one: Volume, world: StorageWorld): string | undefined {
  const dead = one.bricks.find(
    ({ node }, index) =>
      world.silentMs(node) >= MAKER_SILENT_MS &&
      answerOf(one, index, one.generation, world)?.state !== 'ready',
  );
  if (dead === undefined) return undefined;
  return `node ${dead.node}, which was to make a brick, has not been heard of for ${Math.round(world.silentMs(dead.node) / 1_000)} s`;
}

/** Who has not done its part. */
function lacking(one: Volume, generation: number, world: StorageWorld): string {
  const late = one.bricks.flatMap(({ node }, index) =>
    answerOf(one, index, generation, world)?.state === 'ready' ? [] : [`brick ${index} on node ${node}`],
  );
  return late.length > 0 ? `${late.join(', ')} missing` : `node ${one.coordinator} has not started it`;
}

function canBeAsked(node: NodeName, { nodes, told }: StorageWorld): boolean {
  return nodes.get(node)?.fenced === false && told(node)?.reachable === true;
}
