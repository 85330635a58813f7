/** Whose a container is and whether it lives, as netd knows it: storaged itself sees no containers. */
import * as z from 'zod';
import type { ApiClient } from '../linux/api-client.ts';
import { readTextIfThere, writeAtomically } from '../linux/files.ts';
import { identify, isAlive, type ProcessId } from '../linux/process.ts';
import { SluiceError } from '../model/errors.ts';
import { ContainerId, TenantName } from '../model/names.ts';
import type { MountId } from '../model/volume.ts';
import type { Mount } from './contract.ts';

const Endpoints = z.object({
  endpoints: z.array(z.object({ containerId: ContainerId, tenant: TenantName })),
});
const Kept = z.object({
  seen: z.array(ContainerId),
  processes: z.array(z.object({ mount: z.string(), pid: z.int(), startedAt: z.int() })),
});

/** The oldest are forgotten: whoever has a mount was seen later than so many others. */
const SEEN_KEPT = 10_000;
/** A mount that takes longer has failed by itself. */
const MADE_WITHIN_MS = 60_000;
/** No process has begun then. */
const NEVER = -1;

export interface Containers {
  /**
   * @returns undefined where netd knows no such container (yet)
   * @throws SluiceError `not_ready` when netd is away, and has not told of it before: it may be another tenant's
   */
  tenantOf(container: ContainerId): Promise<TenantName | undefined>;
  /** A mount in a running container ends with this process. */
  mountedInto(mount: MountId, pid: number): void;
  /** The mount has ended. */
  unmounted(mount: MountId): void;
  /** @returns who still lives, and keeps its mounts; undefined: nobody can tell now */
  judge(): Promise<((mount: Mount) => boolean) | undefined>;
}

/**
 * A container that netd has known and does not know any more is gone, and so is one whose process has ended. One that it
 * has never known is somebody's who will unmount it: perhaps its runtime is only about to start it.
 *
 * @param file  what must not be forgotten by a restart of this daemon
 * @param now  ms of a clock that only goes forward
 */
export function knowContainers(
  netd: Pick<ApiClient, 'request'>,
  file: string,
  now: () => number = () => performance.now(),
): Containers {
  const kept = load(file);
  const seen = new Set<ContainerId>(kept.seen);
  const processes = new Map<string, ProcessId>(kept.processes.map(({ mount, ...id }) => [mount, id]));
  /** Since when mounts in running containers have been seen without their process. */
  const unnoted = new Map<MountId, number>();
  let known = new Map<ContainerId, TenantName>();

  function save(): void {
    const entries = [...processes].map(([mount, id]) => ({ mount, ...id }));
    writeAtomically(file, JSON.stringify({ seen: [...seen], processes: entries }));
  }

  function see(container: ContainerId): void {
    if (seen.has(container)) return;
    seen.add(container);
    const [oldest] = seen;
    if (seen.size > SEEN_KEPT && oldest !== undefined) seen.delete(oldest);
    save();
  }

  function unmounted(mount: MountId): void {
    unnoted.delete(mount);
    if (processes.delete(mount)) save();
  }

  /** Where nothing else is known of a container: whether the process it was mounted for is there. */
  function lives({ container, id, into }: Mount): boolean {
    const process = processes.get(id);
    if (process !== undefined) return isAlive(process);
    return into === null ? !seen.has(container) : isBeingMade(id);
  }

  /** Its process is noted when it is there. Of before the machine was started there is no note of any. */
  function isBeingMade(mount: MountId): boolean {
    const since = unnoted.get(mount) ?? now();
    unnoted.set(mount, since);
    return now() - since < MADE_WITHIN_MS;
  }

  async function ask(): Promise<boolean> {
    try {
      const { endpoints } = Endpoints.parse(await netd.request('GET', '/v1/endpoints'));
      known = new Map(endpoints.map(({ containerId, tenant }) => [containerId, tenant]));
      return true;
    } catch {
      return false;
    }
  }

  return {
    tenantOf: async (container) => {
      const answered = await ask();
      // Remembered at once: it may be gone before anybody looks at its mount again.
      if (known.has(container)) see(container);
      else if (!answered) throw nobodyTells(container);
      return known.get(container);
    },
    mountedInto: (mount, pid) => {
      // One that has ended meanwhile is no reason to keep it either.
      processes.set(mount, identify(pid) ?? { pid, startedAt: NEVER });
      save();
    },
    unmounted,
    judge: async () => {
      if (!(await ask())) return undefined;
      return (mount) => {
        const owner = known.get(mount.container);
        if (owner !== undefined) see(mount.container);
        // Another tenant's container has no business with it, whoever mounted it there.
        const stays = owner === undefined ? lives(mount) : owner === mount.tenant;
        if (!stays) unmounted(mount.id);
        return stays;
      };
    },
  };
}

function nobodyTells(container: ContainerId): SluiceError {
  return new SluiceError(
    'not_ready',
    `netd does not answer, and nobody else knows whose container ${container} is`,
    'try again when it is up: sluice status',
  );
}

function load(file: string): z.infer<typeof Kept> {
  const nothing = { seen: [], processes: [] };
  const text = readTextIfThere(file);
  if (text === undefined) return nothing;
  try {
    return Kept.parse(JSON.parse(text));
  } catch {
    return nothing; // torn by a power cut: containers did not outlive it either
  }
}
