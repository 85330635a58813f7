/** Whose a container is and whether it lives, as netd knows it: storaged itself sees no containers. */
import * as z from 'zod';
import type { ApiClient } from '../linux/api-client.ts';
import { readTextIfThere, writeAtomically } from '../linux/files.ts';
import { identify, isAlive, type ProcessId } from '../linux/process.ts';
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

export interface Containers {
  /** @returns undefined where netd knows no such container (yet), or is away */
  tenantOf(container: ContainerId): Promise<TenantName | undefined>;
  /** A mount in a running container ends with this process. */
  mountedInto(mount: MountId, pid: number): void;
  /** @returns who still lives, and keeps its mounts; undefined: nobody can tell now */
  judge(): Promise<((mount: Mount) => boolean) | undefined>;
}

/**
 * A container that netd has known and does not know any more is gone, and so is one whose process has ended. One that it
 * has never known is somebody's who will unmount it: perhaps its runtime is only about to start it.
 *
 * @param file  what must not be forgotten by a restart of this daemon
 */
export function knowContainers(netd: Pick<ApiClient, 'request'>, file: string): Containers {
  const kept = load(file);
  const seen = new Set<ContainerId>(kept.seen);
  const processes = new Map<string, ProcessId>(kept.processes.map(({ mount, ...id }) => [mount, id]));
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
      await ask();
      // Remembered at once: it may be gone before anybody looks at its mount again.
      if (known.has(container)) see(container);
      return known.get(container);
    },
    mountedInto: (mount, pid) => {
      const id = identify(pid);
      if (id === undefined) return;
      processes.set(mount, id);
      save();
    },
    judge: async () => {
      if (!(await ask())) return undefined;
      return ({ container, tenant, id }) => {
        const owner = known.get(container);
        if (owner !== undefined) see(container);
        // Another tenant's container has no business with it, whoever mounted it there.
        if (owner !== undefined) return owner === tenant;
        const process = processes.get(id);
        if (process !== undefined) return isAlive(process);
        return !seen.has(container);
      };
    },
  };
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
