/** What has to be mounted in which container, and what taken off: pure, from what is wanted and what is there. */
import { VIEW_FILES } from './files.ts';

/** One mount, in the order of the kernel's list: of two at one point the later one is seen. */
export interface SeenMount {
  readonly device: string;
  readonly point: string;
  readonly shared: boolean;
  readonly type: string;
  readonly source: string;
}

/** A mount namespace with somebody in it. */
export interface SeenNamespace {
  readonly inode: number;
  readonly pid: number;
  /** Network namespaces that its processes are in. */
  readonly netns: ReadonlySet<number>;
  readonly mounts: readonly SeenMount[];
}

export interface ViewsWanted {
  /** Of the lxcfs that lives; undefined: none is wanted, and everything of ours is taken off. */
  readonly device: string | undefined;
  /** How our lxcfs is called in the list of mounts. */
  readonly source: string;
  /** Network namespaces of the containers that have asked. */
  readonly netns: ReadonlySet<number>;
  /** Mount namespaces in which we have mounted before: there it is ours to take off again. */
  readonly touched: ReadonlySet<number>;
}

export interface ViewErrand {
  readonly pid: number;
  readonly inode: number;
  readonly remove: readonly string[];
  /** Points that get the file of the same path below lxcfs. */
  readonly attach: readonly string[];
}

export interface ViewsPlan {
  readonly errands: readonly ViewErrand[];
  /** Namespaces that have all they asked for, or will have after these errands. */
  readonly served: ReadonlySet<number>;
  /** Those that cannot be served, and why. */
  readonly refused: ReadonlyMap<number, string>;
}

export function planViews(wanted: ViewsWanted, seen: readonly SeenNamespace[]): ViewsPlan {
  const errands: ViewErrand[] = [];
  const served = new Set<number>();
  const refused = new Map<number, string>();
  for (const namespace of seen) {
    const asked = wanted.device !== undefined && [...namespace.netns].some((one) => wanted.netns.has(one));
    const obstacle = asked ? obstacleIn(namespace) : undefined;
    if (obstacle !== undefined) refused.set(namespace.inode, obstacle);
    const wants = asked && obstacle === undefined;
    if (wants) served.add(namespace.inode);
    const errand = errandFor(wanted, namespace, wants);
    if (errand.remove.length + errand.attach.length > 0) errands.push(errand);
  }
  return { errands, served, refused };
}

/** Mounting is done only where nobody else sees it. */
function obstacleIn({ mounts }: SeenNamespace): string | undefined {
  const proc = mounts.findLast(({ point }) => point === '/proc');
  if (proc?.type !== 'proc') return 'it has no /proc of its own';
  const around = mounts.filter(({ point }) => ['/proc', '/sys', '/sys/devices/system/cpu'].includes(point));
  return around.some(({ shared }) => shared)
    ? 'its /proc or /sys is shared with other mount namespaces'
    : undefined;
}

function errandFor(
  { device, source, touched }: ViewsWanted,
  { pid, inode, mounts }: SeenNamespace,
  wants: boolean,
): ViewErrand {
  const remove: string[] = [];
  const attach: string[] = [];
  for (const point of VIEW_FILES) {
    const here = mounts.filter((one) => one.point === point);
    // A runtime's mask, or another's lxcfs, was put there on purpose; below it nothing is seen.
    const others = here.findLastIndex((one) => one.source !== source);
    const ours = here.slice(others + 1);
    const dead = ours.some((one) => one.device !== device);
    const unwanted = !wants && touched.has(inode);
    if (dead || unwanted) remove.push(...ours.map(() => point));
    // What a runtime has mounted of ours stays; a dead one of its is made anew.
    const heal = dead && device !== undefined && !unwanted;
    if (others < 0 && (heal || (wants && ours.length === 0))) attach.push(point);
  }
  return { pid, inode, remove, attach };
}
