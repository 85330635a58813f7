import type { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import { type AccountId, type AccountOwner, type Counters, NOTHING } from '../../model/usage.ts';
import { findEndings } from './endings.ts';
import { amountSince, type CountedAccounts, planLedger } from './ledger.ts';
import { sumAccount } from './sum.ts';

const [A, B] = [1n as AccountId, 2n as AccountId];
const OWNER: AccountOwner = {
  tag: 7 as TenantTag,
  side: 'internal',
  container: 'c1' as ContainerId,
  ifName: 'eth1' as IfName,
};
const counters = (sent: bigint, received = 0n): Counters => ({
  sentBytes: sent,
  sentPackets: sent / 100n,
  receivedBytes: received,
  receivedPackets: received / 100n,
});
const counted = (
  now: [AccountId, Counters][],
  named: AccountId[] = [A, B],
  source = 'map 1',
): CountedAccounts => ({
  source,
  counters: new Map(now),
  named: new Set(named),
  ownerOf: (account) => (named.includes(account) ? OWNER : undefined),
});

describe('planLedger', () => {
  it('opens an account and credits all it has counted so far', () => {
    const now = counters(500n, 200n);
    expect(planLedger(new Map(), counted([[A, now]]))).toEqual([
      { do: 'open', account: A, owner: OWNER },
      { do: 'credit', account: A, source: 'map 1', seen: now, amount: now },
    ]);
  });

  it('credits what came since, and writes nothing where nothing came', () => {
    const known = new Map([
      [A, { source: 'map 1', seen: counters(500n) }],
      [B, { source: 'map 1', seen: counters(100n) }],
    ]);
    const now = counters(800n);
    expect(
      planLedger(
        known,
        counted([
          [A, now],
          [B, counters(100n)],
        ]),
      ),
    ).toEqual([{ do: 'credit', account: A, source: 'map 1', seen: now, amount: counters(300n) }]);
  });

  it('counts from zero in another map, even where that has counted further', () => {
    const known = new Map([[A, { source: 'map 1', seen: counters(500n) }]]);
    const now = counters(800n);
    expect(planLedger(known, counted([[A, now]], [A], 'map 2'))).toEqual([
      { do: 'credit', account: A, source: 'map 2', seen: now, amount: now },
    ]);
  });

  it('leaves an account without a known owner in the kernel', () => {
    expect(planLedger(new Map(), counted([[A, counters(500n)]], []))).toEqual([]);
  });

  it('goes on with an account whose owner has gone out of the kernel before it', () => {
    const known = new Map([[A, { source: 'map 1', seen: counters(500n) }]]);
    expect(planLedger(known, counted([[A, counters(600n)]], []))).toMatchObject([
      { do: 'credit', account: A, amount: counters(100n) },
    ]);
  });

  it('closes an account that the kernel has no more', () => {
    const known = new Map([[A, { source: 'map 1', seen: counters(500n) }]]);
    expect(planLedger(known, counted([]))).toEqual([{ do: 'close', account: A }]);
  });
});

describe('amountSince', () => {
  it('follows a counter over its end', () => {
    const seen = { ...NOTHING, sentBytes: 2n ** 64n - 100n, sentPackets: 5n };
    const now = { ...NOTHING, sentBytes: 50n, sentPackets: 7n };
    expect(amountSince(seen, now)).toEqual({ ...NOTHING, sentBytes: 150n, sentPackets: 2n });
  });

  it('takes counters that fell for emptied ones', () => {
    const now = counters(300n, 900n);
    expect(amountSince(counters(500n, 100n), now)).toEqual(now);
  });
});

describe('findEndings', () => {
  const at = (now: number) => ({ now, graceMs: 30 });

  it('ends an account when its port has been gone for the time of grace, and not before', () => {
    const first = findEndings([A, B], new Set([B]), new Map(), at(100));
    expect(first).toEqual({ ended: [], waiting: new Map([[A, 100]]) });
    expect(findEndings([A, B], new Set([B]), first.waiting, at(129)).ended).toEqual([]);
    expect(findEndings([A, B], new Set([B]), first.waiting, at(130)).ended).toEqual([A]);
  });

  it('begins anew when the port has been back in between', () => {
    const first = findEndings([A], new Set(), new Map(), at(100));
    const back = findEndings([A], new Set([A]), first.waiting, at(120));
    expect(findEndings([A], new Set(), back.waiting, at(140))).toEqual({
      ended: [],
      waiting: new Map([[A, 140]]),
    });
  });
});

it('sumAccount adds up the CPUs, over the end of 64 bits too', () => {
  const values = Buffer.alloc(64);
  const cells = [2n ** 64n - 1n, 2n ** 40n, 3n, 4n, 11n, 2n ** 40n, 5n, 6n];
  for (const [index, value] of cells.entries()) values.writeBigUInt64LE(value, 8 * index);
  expect(sumAccount(values)).toEqual({
    sentBytes: 10n,
    sentPackets: 2n ** 41n,
    receivedBytes: 8n,
    receivedPackets: 10n,
  });
});
