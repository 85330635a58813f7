import type { NodeView } from '../model/cluster-changes.ts';
import type { Limits } from '../model/limits.ts';
import type { ContainerId, NodeName, TenantName, VolumeName } from '../model/names.ts';
import type { MountRequest, Volume, VolumeId } from '../model/volume.ts';
import type { MountWish } from './contract.ts';
import { initialLimits, type MountingWorld, mountVolume } from './mounting.ts';

const ID = 'v0123456789ab' as VolumeId;
const BLUE = 'blue' as TenantName;
const NODE = 'a' as NodeName;
const volume = (fields: Partial<Volume> = {}): Volume => ({
  ...{ id: ID, tenant: BLUE, name: 'shared' as VolumeName, phase: 'ready', sizeBytes: 2 ** 30, inodes: null },
  ...{
    layout: 'single',
    thin: true,
    bricks: [],
    limits: {},
    nodeLimits: {},
    hosts: [NODE],
    coordinator: NODE,
  },
  ...{ generation: 1, removeAt: null, createdAt: 0, ...fields },
});
const request: MountRequest = {
  ...{
    volume: ID,
    container: 'c1' as ContainerId,
    subDirectory: null,
    readOnly: false,
    limits: {},
    into: null,
  },
};

/** A node that is let in as soon as it asks. */
function world({ one = volume(), owner = undefined as TenantName | undefined } = {}): MountingWorld & {
  readonly asked: string[];
  readonly mounted: MountWish[];
  /** What was set for many mounts together: of a volume, of a tenant. */
  readonly shared: string[];
} {
  const asked: string[] = [];
  const mounted: MountWish[] = [];
  const shared: string[] = [];
  let now = one;
  return {
    ...{ asked, mounted, shared, node: NODE },
    view: () =>
      ({
        volumes: new Map([[now.id, now]]),
        plans: new Map(),
        defaults: { container: {} },
      }) as never as NodeView,
    containers: { tenantOf: async () => owner } as never,
    keeper: { settledAt: () => now.generation, request: () => undefined },
    server: {
      request: async (method, path) => {
        asked.push(`${method} ${path}`);
        now = { ...now, hosts: [NODE], generation: now.generation + 1 };
        return {};
      },
    },
    parts: {
      mounts: async () =>
        ({
          shares: { set: async (owner: object) => void shared.push(Object.keys(owner).join()) },
          keeper: {
            mounts: () => mounted,
            mount: async (wish: MountWish) => {
              mounted.push(wish);
              return { ...wish, id: 'm0123456789ab' };
            },
          },
        }) as never,
    },
  };
}

describe('a mount', () => {
  it('is made at once on a node that is let in, and asks to be let in only once', async () => {
    const known = world();
    await mountVolume(known, request);
    expect([known.asked, known.mounted.length]).toEqual([[], 1]);
    const stranger = world({ one: volume({ hosts: [] }) });
    await mountVolume(stranger, request);
    expect(stranger.asked).toEqual([`POST /v1/volumes/${ID}/hosts`]);
  });

  it("sets what its tenant has together only with the tenant's first: netd may hold something else by now", async () => {
    const known = world();
    for (let n = 0; n < 2; n += 1) await mountVolume(known, request);
    expect(known.shared).toEqual(['volume', 'tenant', 'volume']);
  });

  it("is refused to another tenant's container, and nothing is asked for it", async () => {
    const theirs = world({ owner: 'red' as TenantName, one: volume({ hosts: [] }) });
    await expect(mountVolume(theirs, request)).rejects.toMatchObject({ code: 'refused' });
    expect([theirs.asked, theirs.mounted]).toEqual([[], []]);
  });

  it.each<[Volume['phase'], string]>([
    ['creating', 'not_ready'],
    ['deleted', 'not_found'],
    ['removing', 'not_found'],
  ])('of a volume that is %s is answered with %s', async (phase, code) => {
    await expect(mountVolume(world({ one: volume({ phase }) }), request)).rejects.toMatchObject({ code });
  });

  it("begins with its own limits, then the volume's, then the plan's, then the cluster's", () => {
    const plans = new Map([[BLUE, { container: { 'volume.write': 3e6, 'volume.readOps': 300 } }]]);
    const defaults = { container: { 'volume.readOps': 400, 'volume.writeOps': 400 } };
    const view = () => ({ plans, defaults }) as never as NodeView;
    const own: Limits = { 'volume.read': 1e6 };
    const limits = initialLimits({ view }, volume({ limits: { 'volume.read': 2e6, 'volume.write': 2e6 } }), {
      ...request,
      limits: own,
    });
    expect(limits).toEqual({
      ...{ 'volume.read': 1e6, 'volume.write': 2e6, 'volume.readOps': 300, 'volume.writeOps': 400 },
    });
  });
});
