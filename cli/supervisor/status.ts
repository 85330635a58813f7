/** How a node is, daemon by daemon, as far as their sockets tell: works from any network namespace. */

import { localClient } from '../../linux/api-client.ts';
import { readCredential } from '../../linux/credential.ts';
import { isThere } from '../../linux/directories.ts';
import { isAlive } from '../../linux/process.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { GuardStatus as Guard } from '../../tagqueue/guard/guard.ts';
import { type Daemon, daemonsOf, type Places, socketOf } from '../places.ts';
import { readUpRecord } from './up-file.ts';

export interface DaemonStatus {
  readonly daemon: Daemon;
  /** Whether it answers. */
  readonly up: boolean;
  /** Whether it can do its work. */
  readonly ready: boolean;
  /** Why it is not ready, and what to do. */
  readonly reason: string | null;
  readonly hint: string | null;
  readonly version: string | null;
}

/** What fence probes have shown (docs/probes.md), as tagqueue tells it. */
export interface FenceStatus {
  readonly peers: Readonly<Record<'well' | 'broken' | 'silent' | 'unreachable', number>>;
  readonly unwell: readonly { readonly node: string; readonly state: string }[];
  readonly failures: readonly string[];
}

/** Tenants with rules, whether their new flows are judged, and how many flows were refused in the last minute. */
export type GuardStatus = Pick<Guard, 'tenants' | 'ready' | 'refusedLately'>;

/** Shared volumes, as storaged tells it. */
export interface StorageStatus {
  readonly keepsBricks: boolean;
  readonly gluster: string;
  readonly bricks: number;
  readonly mounts: number;
  readonly broken: number;
  readonly problem: string | null;
}

export interface NodeStatus {
  readonly ready: boolean;
  /** null when nothing tells. */
  readonly node: string | null;
  /** The supervisor; null under systemd, or when nothing runs. */
  readonly pid: number | null;
  readonly daemons: readonly DaemonStatus[];
  /** null when tagqueue does not answer. */
  readonly fence: FenceStatus | null;
  /** null when tagqueue does not answer. */
  readonly guard: GuardStatus | null;
  /** null when storaged does not answer, or does not run here. */
  readonly storage: StorageStatus | null;
  /** What enforces the fence; null when tagqueue does not answer. */
  readonly plane: string | null;
}

/** A daemon that is busy answers within this time, or it is in trouble. */
const ANSWER_WITHIN_MS = 3_000;

export async function nodeStatus(places: Places): Promise<NodeStatus> {
  const record = readUpRecord(places);
  const alive = record !== undefined && isAlive(record);
  const expected = record?.daemons ?? expectedDaemons(places);
  const answers = await Promise.all(expected.map((daemon) => ask(places, daemon)));
  return {
    ready: answers.every(({ status }) => status.ready),
    node: record?.node ?? answers.map(({ node }) => node).find((node) => node !== undefined) ?? null,
    pid: alive ? record.pid : null,
    daemons: answers.map(({ status }) => status),
    fence: answers.map(({ fence }) => fence).find((fence) => fence !== undefined) ?? null,
    guard: answers.map(({ guard }) => guard).find((guard) => guard !== undefined) ?? null,
    storage: answers.map(({ storage }) => storage).find((storage) => storage !== undefined) ?? null,
    plane: answers.map(({ plane }) => plane).find((plane) => plane !== undefined) ?? null,
  };
}

/** Without a supervisor's word: a machine that has joined a cluster runs no server. */
function expectedDaemons(places: Places): readonly Daemon[] {
  const joined = readCredential(places.stateDir) !== undefined && !isThere(socketOf(places, 'server'));
  return daemonsOf({ joined, storage: isThere(socketOf(places, 'storaged')) });
}

interface Answer {
  readonly node: string | undefined;
  readonly fence: FenceStatus | undefined;
  readonly guard: GuardStatus | undefined;
  readonly storage: StorageStatus | undefined;
  readonly plane: string | undefined;
  readonly status: DaemonStatus;
}

/** The part of a daemon's answer that all of them share. */
interface Told {
  readonly ready?: boolean;
  readonly node?: string;
  readonly version?: string;
  readonly reason?: string;
  readonly hint?: string;
  readonly probes?: FenceStatus;
  readonly guard?: GuardStatus;
  readonly storage?: StorageStatus;
  readonly plane?: string;
  readonly problem?: { readonly detail: string; readonly hint: string };
}

async function ask(places: Places, daemon: Daemon): Promise<Answer> {
  const client = localClient(socketOf(places, daemon), { timeoutMs: ANSWER_WITHIN_MS });
  try {
    const told = (await client.request('GET', '/v1/status')) as Told;
    const { node, probes: fence, guard, storage, plane } = told;
    return { node, fence, guard, storage, plane, status: statusOf(daemon, told) };
  } catch (thrown) {
    const { message, hint } = asSluiceError(thrown);
    const status = { daemon, up: false, ready: false, reason: message, hint, version: null };
    const nothing = { node: undefined, fence: undefined, guard: undefined, storage: undefined };
    return { ...nothing, plane: undefined, status };
  } finally {
    client.close();
  }
}

function statusOf(daemon: Daemon, told: Told): DaemonStatus {
  const ready = told.ready === true;
  return {
    daemon,
    up: true,
    ready,
    reason: ready ? null : (told.reason ?? told.problem?.detail ?? waitingFor(daemon)),
    hint: ready ? null : (told.hint ?? told.problem?.hint ?? null),
    version: told.version ?? null,
  };
}

function waitingFor(daemon: Daemon): string {
  return daemon === 'server' ? 'the cluster is being made' : 'it has not heard from the server yet';
}
