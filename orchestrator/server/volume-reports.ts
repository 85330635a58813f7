/** What nodes have said of storage. Held in memory: nodes tell the whole of it every second. */
import type { Ipv4 } from '../../model/addresses.ts';
import type { NodeName } from '../../model/names.ts';
import type { Volume, VolumeId } from '../../model/volume.ts';
import {
  type BrickReport,
  type BrickStanding,
  type Pool,
  STORAGE_REPORT_EVERY_MS,
  type StorageReport,
  type VolumeEvent,
  type VolumeReport,
} from '../../model/volume-report.ts';
import { News } from './news.ts';

/** Three reports in a row that do not come are no accident. */
export const STORAGE_SILENT_AFTER_MS = 3 * STORAGE_REPORT_EVERY_MS;

/** A host that has had no use for a volume for so long asks anew. A container that is started again is back sooner. */
export const HOST_IDLE_MS = 600_000;

/** Of each volume. */
export const VOLUME_EVENTS_KEPT = 64;

/** Of volumes that could not be made; whoever asked for one is told at once. */
const WHYS_KEPT = 1_000;

/** One node's last words. */
export interface NodeStorage {
  readonly node: NodeName;
  /** Up to which revision of the cluster they are the answer. */
  readonly revision: number;
  readonly pool: Pool | null;
  readonly address: Ipv4 | null;
  readonly bricks: ReadonlyMap<string, BrickReport>;
  readonly volumes: ReadonlyMap<VolumeId, VolumeReport>;
  readonly mounts: StorageReport['mounts'];
  /** When they came, Unix ms. */
  readonly at: number;
  /** Ms since then. */
  readonly silentMs: number;
  readonly reachable: boolean;
}

interface Kept extends Omit<NodeStorage, 'silentMs' | 'reachable'> {
  readonly heardAt: number;
  /** Since when it has reported without a long break. */
  readonly backAt: number;
  /** What volumes' phases depend on, to see whether it has changed. */
  readonly standing: string;
}

export interface ReportClocks {
  /** Unix ms. */
  readonly now: () => number;
  /** Ms that only go forward. */
  readonly clock: () => number;
}

export class VolumeReports {
  /** Told at every report, and when a volume's phase has changed. */
  readonly news = new News();
  readonly #nodes = new Map<NodeName, Kept>();
  readonly #events = new Map<VolumeId, VolumeEvent[]>();
  /** When a node last had a volume mounted, or was about to, by `volume/node`. */
  readonly #uses = new Map<string, number>();
  readonly #whys = new Map<VolumeId, string>();
  readonly #clocks: ReportClocks;
  readonly #born: number;
  /** Called when a node has said something by which a volume's phase may change. */
  changed: () => void = () => {};

  constructor(clocks: ReportClocks) {
    this.#clocks = clocks;
    this.#born = clocks.clock();
  }

  take(report: StorageReport): void {
    const { node, revision, pool, address, mounts } = report;
    const standing = standingOf(report);
    const before = this.#nodes.get(node);
    const now = this.#clocks.clock();
    const wasSilent = before === undefined || now - before.heardAt >= HOST_IDLE_MS;
    this.#nodes.set(node, {
      ...{ node, revision, pool, address, mounts, standing },
      bricks: new Map(report.bricks.map((brick) => [brickKey(brick.volume, brick.index), brick])),
      volumes: new Map(report.volumes.map((one) => [one.volume, one])),
      at: this.#clocks.now(),
      heardAt: now,
      backAt: wasSilent ? now : before.backAt,
    });
    for (const { volume } of mounts) this.usedBy(volume, node);
    if (before?.standing !== standing) this.changed();
    this.news.tell();
  }

  /** The node has it mounted, or is about to. */
  usedBy(volume: VolumeId, node: NodeName): void {
    this.#uses.set(`${volume}/${node}`, this.#clocks.clock());
  }

  /**
   * For how long the node has said that it has no use for it, ms; since the server's start where it never had. Of a node
   * that was silent as long nobody knows, and what it has mounted it may not have found again when it is first heard.
   */
  idleMs(volume: VolumeId, node: NodeName): number {
    const used = this.#uses.get(`${volume}/${node}`) ?? this.#born;
    return this.#clocks.clock() - Math.max(used, this.#nodes.get(node)?.backAt ?? used);
  }

  /** Those of volumes that the node has to do with. Told again when the answer was lost, and then not kept twice. */
  addEvent(volume: VolumeId, event: VolumeEvent): boolean {
    const kept = this.#events.get(volume) ?? [];
    if (kept.some(({ at, what, text }) => at === event.at && what === event.what && text === event.text))
      return false;
    this.#events.set(volume, [...kept, event].slice(-VOLUME_EVENTS_KEPT));
    return true;
  }

  /** The last ones, oldest first. */
  eventsOf(volume: VolumeId): readonly VolumeEvent[] {
    return this.#events.get(volume) ?? [];
  }

  /** Why it is not what it was wanted to be: it could not be made, or not be grown. */
  failed(volume: VolumeId, why: string): void {
    this.#whys.set(volume, why);
    const [oldest] = this.#whys.keys();
    if (this.#whys.size > WHYS_KEPT && oldest !== undefined) this.#whys.delete(oldest);
  }

  whyOf(volume: VolumeId): string | undefined {
    return this.#whys.get(volume);
  }

  /** It was asked for something new. */
  forgetWhy(volume: VolumeId): void {
    this.#whys.delete(volume);
  }

  /** Nothing is left of it. */
  forgetVolume(volume: VolumeId): void {
    this.#events.delete(volume);
    for (const use of this.#uses.keys()) if (use.startsWith(volume)) this.#uses.delete(use);
  }

  /** The node is no longer of the cluster. */
  forgetNode(node: NodeName): void {
    this.#nodes.delete(node);
    this.changed();
    this.news.tell();
  }

  node(name: NodeName): NodeStorage | undefined {
    const kept = this.#nodes.get(name);
    return kept && this.#toldBy(kept);
  }

  /** By name. */
  nodes(): NodeStorage[] {
    return [...this.#nodes.values()]
      .sort((one, two) => (one.node < two.node ? -1 : 1))
      .map((kept) => this.#toldBy(kept));
  }

  /** For how long there has been anybody to report to, ms. */
  ageMs(): number {
    return this.#clocks.clock() - this.#born;
  }

  /** For how long a node has said nothing, ms; since the server's start where it never has. */
  silentMs(name: NodeName): number {
    return this.#clocks.clock() - (this.#nodes.get(name)?.heardAt ?? this.#born);
  }

  /** Ends all waiting, so that the server can stop. */
  close(): void {
    this.news.close();
  }

  #toldBy({ heardAt, backAt: _, standing: __, ...told }: Kept): NodeStorage {
    const silentMs = this.#clocks.clock() - heardAt;
    return { ...told, silentMs, reachable: silentMs < STORAGE_SILENT_AFTER_MS };
  }
}

export function brickKey(volume: VolumeId, index: number): string {
  return `${volume}/${index}`;
}

/** What a node has last said of a volume's brick, where that is its. */
export function brickOf(
  reports: VolumeReports,
  { id, bricks }: Pick<Volume, 'id' | 'bricks'>,
  index: number,
): BrickReport | undefined {
  const node = bricks[index]?.node;
  return node === undefined ? undefined : reports.node(node)?.bricks.get(brickKey(id, index));
}

/** How a volume's bricks are, by their nodes' last words. */
export function standingsOf(reports: VolumeReports, volume: Pick<Volume, 'id' | 'bricks'>): BrickStanding[] {
  return volume.bricks.map(({ node }, index) => {
    const told = reports.node(node);
    const brick = told?.bricks.get(brickKey(volume.id, index));
    // Right after the server's start nobody has said anything yet.
    if (told === undefined && reports.ageMs() < STORAGE_SILENT_AFTER_MS)
      return { online: null, fill: null, healIndex: null };
    const serves = told?.reachable === true && brick !== undefined ? (brick.online ?? null) : false;
    return { online: serves, fill: brick?.fill ?? null, healIndex: brick?.healIndex ?? null };
  });
}

function standingOf({ revision, bricks, volumes }: StorageReport): string {
  return JSON.stringify([
    revision,
    bricks.map(({ volume, index, state, generation }) => [volume, index, state, generation]),
    volumes.map(({ volume, generation, state }) => [volume, generation, state]),
  ]);
}
