import fc from 'fast-check';
import type { IfName, TenantName } from '../../model/names.ts';
import type { NodeRates, RateKeeper } from '../../qos/contract.ts';
import { sameValue } from '../../qos/same.ts';
import { meantRates } from './meant-rates.ts';

/** Holds what it is told, in whole bytes a second as the kernel does. */
function keeperInBytes(): { keeper: RateKeeper; held(): NodeRates } {
  let held: NodeRates = { ports: [], tenants: [] };
  const inBytes = (rate: number | null): number | null => (rate === null ? null : Math.floor(rate / 8) * 8);
  const keeper: RateKeeper = {
    apply: (wanted) => {
      held = {
        ports: wanted.ports.map((port) => ({ ...port, in: inBytes(port.in), out: inBytes(port.out) })),
        tenants: wanted.tenants,
      };
      return Promise.resolve(new Map());
    },
    read: () => Promise.resolve(held),
    statistics: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
  return { keeper, held: () => held };
}

const portWith = (rate: number): NodeRates => ({
  ports: [{ hostIf: 'se1' as IfName, side: 'external', tenant: 'blue' as TenantName, in: rate, out: null }],
  tenants: [],
});

describe('rates as the cluster means them', () => {
  it('are the queues’ own where frames are meant', async () => {
    const { keeper, held } = keeperInBytes();
    await meantRates(
      keeper,
      () => 'wire',
      () => 1_500,
    ).apply(portWith(10_000_000));
    expect(held().ports[0]).toMatchObject({ in: 10_000_000, out: null });
  });

  it('are more where payload is meant, and read back as what was asked', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 8_000, max: 10 ** 12 }),
        fc.constantFrom(1_434, 1_500, 9_000),
        async (rate, mtu) => {
          const { keeper, held } = keeperInBytes();
          const meant = meantRates(
            keeper,
            () => 'goodput',
            () => mtu,
          );
          await meant.apply(portWith(rate));
          expect(held().ports[0]?.in).toBeGreaterThan(rate);
          const { ports } = await meant.read();
          expect(sameValue('net.external.in', rate, ports[0]?.in ?? null)).toBe(true);
        },
      ),
    );
  });
});
