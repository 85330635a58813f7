import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import { ClusterSnapshot, type NodeView, viewOf } from '../../model/cluster-changes.ts';
import type { ClusterKeys } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';
import { followPlaneSettings, planeSettingsOf } from './plane-settings.ts';

const a = 'a' as NodeName;
const settings = {
  internalPool: '10.64.0.0/12' as Cidr,
  externalPool: '10.80.0.0/12' as Cidr,
  blockPrefix: 22,
  carrier: 'auto' as const,
};
const self = {
  node: a,
  uplinkAddress: '192.0.2.1' as Ipv4,
  internalBlock: '10.64.0.0/22' as Cidr,
  externalBlock: '10.80.0.0/22' as Cidr,
  nic: true,
  zone: null,
  labels: {},
  fenced: false,
  joinedAt: 0,
};
const view = (nodes: (typeof self)[]): NodeView =>
  viewOf(1, ClusterSnapshot.parse({ settings, tenants: [], nodes, namespaces: [], probes: [] }));
const keys = (epoch: number): ClusterKeys =>
  ({ current: epoch, keys: [{ epoch, key: '00'.repeat(16) }] }) as unknown as ClusterKeys;

/** A followed value that tests change by hand. */
function source<T>(): {
  current(): T | undefined;
  changes(): AsyncIterable<T>;
  set(value: T): void;
  end(): void;
} {
  let value: T | undefined;
  let ended = false;
  let wake = Promise.withResolvers<void>();
  const tell = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  return {
    current: () => value,
    async *changes(): AsyncGenerator<T> {
      while (!ended) {
        if (value !== undefined) yield value;
        await wake.promise;
      }
    },
    set(next): void {
      value = next;
      tell();
    },
    end(): void {
      ended = true;
      tell();
    },
  };
}

/** Until readers sleep again: what is told in one instant may come to them as one. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('planeSettingsOf', () => {
  it('waits for the block and for the keys', () => {
    expect(planeSettingsOf(a, undefined, keys(1))).toBeUndefined();
    expect(planeSettingsOf(a, view([]), keys(1))).toBeUndefined();
    expect(planeSettingsOf(a, view([self]), undefined)).toBeUndefined();
    expect(planeSettingsOf(a, view([self]), keys(1))).toEqual({
      internalPool: '10.64.0.0/12',
      ownBlock: '10.64.0.0/22',
      uplinkAddress: '192.0.2.1',
      keys: keys(1),
      carrier: 'vxlan',
      fenced: false,
    });
  });
});

describe('the settings of a fenced node', () => {
  const fenced = { ...self, fenced: true };

  it('hold no key, whether any was told or not', () => {
    const shut = { fenced: true, keys: { current: 0, keys: [] } };
    expect(planeSettingsOf(a, view([fenced]), keys(1))).toMatchObject(shut);
    expect(planeSettingsOf(a, view([fenced]), undefined)).toMatchObject(shut);
  });

  it('get keys again when it is let in, and not those from before', async () => {
    const cluster = source<NodeView>();
    const key = source<ClusterKeys>();
    const told = followPlaneSettings(a, cluster, key);
    const first = told.next();
    key.set(keys(1));
    cluster.set(view([fenced]));
    expect((await first).value).toMatchObject({ fenced: true });
    const again = told.next();
    await settled();
    cluster.set(view([self]));
    await settled();
    key.set(keys(2));
    expect((await again).value).toMatchObject({ fenced: false, keys: { current: 2 } });
    const end = told.next();
    await settled();
    cluster.end();
    key.end();
    await end;
  });
});

describe('followPlaneSettings', () => {
  it('tells keys that were told anew, so that the server hears again what the plane has', async () => {
    const cluster = source<NodeView>();
    const key = source<ClusterKeys>();
    const told = followPlaneSettings(a, cluster, key);
    const first = told.next();
    cluster.set(view([self]));
    key.set(keys(1));
    expect((await first).value).toMatchObject({ keys: { current: 1 } });
    const again = told.next();
    await settled();
    key.set(keys(1));
    expect((await again).value).toMatchObject({ keys: { current: 1 } });
    const end = told.next();
    await settled();
    cluster.end();
    key.end();
    await end;
  });

  it('tells what concerns the plane, once, and ends with its sources', async () => {
    const cluster = source<NodeView>();
    const key = source<ClusterKeys>();
    const told = followPlaneSettings(a, cluster, key);
    const first = told.next();
    cluster.set(view([self]));
    key.set(keys(1));
    expect((await first).value).toMatchObject({ keys: { current: 1 } });

    const second = told.next();
    cluster.set(view([self])); // no news for the plane
    key.set(keys(2));
    expect((await second).value).toMatchObject({ keys: { current: 2 } });

    const end = told.next();
    cluster.end();
    key.end();
    expect((await end).done).toBe(true);
  });
});
