/** Whatever happens in between, and wherever it is cut off: what was counted is written down, once. */
import fc from 'fast-check';
import type { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import {
  type AccountId,
  COUNTERS,
  type Counters,
  HOUR_MS,
  NOTHING,
  type TenantTotal,
} from '../../model/usage.ts';
import { openUsageStore, type UsageBooks, type UsageStore } from '../../store/usage.ts';
import { type Collector, createCollector } from '../../tagqueue/accounts/collector.ts';
import type { CountedAccounts } from '../../tagqueue/accounts/ledger.ts';
import { freshFile } from '../contract/store-tools.ts';

const GRACE_MS = 10;
const MODULUS = 2n ** 64n;

/** Steps of a collection, each of which may be its last; a reboot takes the kernel's maps with it. */
class World {
  readonly books: UsageStore;
  readonly counted = new Map<number, Counters>();
  /** Steps until the daemon dies; undefined: it lives. */
  fuse: number | undefined;
  uptime = 0;
  hour = 500_000 * HOUR_MS;
  source = 1;
  readonly #kernel = new Map<AccountId, Counters>();
  readonly #names = new Set<AccountId>();
  readonly #bound = new Set<AccountId>();
  #nextAccount = 1n;
  #collector: Collector;

  constructor(file: string) {
    this.books = openUsageStore(file, { durability: 'normal' });
    this.#collector = this.#start();
  }

  step(): void {
    if (this.fuse === 0) throw new Error('dead');
    if (this.fuse !== undefined) this.fuse -= 1;
  }

  #start(): Collector {
    return createCollector({
      kernel: {
        read: () => this.#read(),
        bound: () => {
          this.step();
          return new Set(this.#bound);
        },
        remove: (account) => {
          this.step();
          this.#names.delete(account);
          this.step();
          this.#kernel.delete(account);
          this.step();
        },
      },
      openBooks: () => dying(this),
      keepDays: 1,
      graceMs: GRACE_MS,
      now: () => this.hour,
      uptime: () => this.uptime,
    });
  }

  #read(): CountedAccounts {
    this.step();
    return {
      source: `map ${this.source}`,
      counters: new Map(this.#kernel),
      named: new Set(this.#names),
      ownerOf: (account) => ({
        tag: tagOf(account),
        side: 'internal',
        container: `c${account}` as ContainerId,
        ifName: 'eth1' as IfName,
      }),
    };
  }

  attach(startsAt: bigint): void {
    const account = this.#nextAccount++ as AccountId;
    this.#names.add(account);
    // A counter close to its end: the books are told that it was read there already.
    this.#kernel.set(account, { ...NOTHING, sentBytes: startsAt });
    this.books.write((page) => {
      page.open(account, {
        ...{ tag: tagOf(account), side: 'internal', container: `c${account}` as ContainerId },
        ifName: 'eth1' as IfName,
      });
      const seen = { ...NOTHING, sentBytes: startsAt };
      page.credit(account, this.hour, { source: `map ${this.source}`, seen }, NOTHING);
    });
    this.#bound.add(account);
  }

  count(which: number, bytes: bigint): void {
    const account = [...this.#bound][which % Math.max(1, this.#bound.size)];
    if (account === undefined) return;
    const before = this.#kernel.get(account) ?? NOTHING;
    const add = { sentBytes: bytes, sentPackets: 1n, receivedBytes: bytes / 2n, receivedPackets: 1n };
    const plus = (one: Counters, modulus: bigint): Counters =>
      Object.fromEntries(
        COUNTERS.map((name) => [name, (one[name] + add[name]) % modulus]),
      ) as unknown as Counters;
    this.#kernel.set(account, plus(before, MODULUS));
    const tag = tagOf(account);
    this.counted.set(tag, plus(this.counted.get(tag) ?? NOTHING, MODULUS * MODULUS));
  }

  detach(which: number): void {
    const account = [...this.#bound][which % Math.max(1, this.#bound.size)];
    if (account !== undefined) this.#bound.delete(account);
  }

  /** @returns whether it came to its end. */
  collect(fuse: number | undefined): boolean {
    this.fuse = fuse;
    try {
      this.#collector.collect();
      return true;
    } catch (error) {
      if (this.fuse !== 0) throw error;
      this.#collector = this.#start();
      return false;
    } finally {
      this.fuse = undefined;
    }
  }

  /** What was not collected is lost with the kernel; so the property only holds from one collection to the next. */
  reboot(): void {
    this.collect(undefined);
    this.#kernel.clear();
    this.#names.clear();
    this.#bound.clear();
    this.source += 1;
    this.#collector = this.#start();
  }

  /** In place of the kernel's maps come others; the containers go on, and the same accounts count from zero. */
  replaceMaps(): void {
    this.collect(undefined);
    for (const account of this.#kernel.keys()) this.#kernel.set(account, NOTHING);
    this.source += 1;
  }

  get inKernel(): number {
    return new Set([...this.#kernel.keys(), ...this.#names]).size;
  }
  get attached(): number {
    return this.#bound.size;
  }
}

const tagOf = (account: AccountId): TenantTag => Number(1n + (account % 2n)) as TenantTag;

/** The books of a daemon that may die before, between and after any of the things it writes. */
function dying(world: World): UsageStore {
  return {
    ...world.books,
    close: () => {},
    write: (work) => {
      const result = world.books.write((page) => {
        const steps = Object.entries(page).map(([name, write]) => [
          name,
          (...args: unknown[]): unknown => {
            world.step();
            return (write as (...args: unknown[]) => unknown)(...args);
          },
        ]);
        const done = work(Object.fromEntries(steps) as UsageBooks);
        world.step();
        return done;
      });
      world.step();
      return result;
    },
  };
}

type Event = (world: World) => void;
const which = fc.nat(5);
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(which, fc.bigInt(1n, 2n ** 40n)).map(
      ([n, b]): Event =>
        (world) =>
          world.count(n, b),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(0n, 0n, MODULUS - 1_000n).map(
      (startsAt): Event =>
        (world) =>
          world.attach(startsAt),
    ),
  },
  {
    weight: 1,
    arbitrary: which.map(
      (n): Event =>
        (world) =>
          world.detach(n),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.option(fc.nat(25), { nil: undefined }).map(
      (fuse): Event =>
        (world) =>
          world.collect(fuse),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.nat(2 * GRACE_MS).map(
      (ms): Event =>
        (world) => {
          world.uptime += ms;
        },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(1, 12).map(
      (hours): Event =>
        (world) => {
          world.hour += hours * HOUR_MS;
        },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Event>(
      (world) => world.reboot(),
      (world) => world.replaceMaps(),
    ),
  },
);

const totalOf = (totals: readonly TenantTotal[], tag: number): Counters => {
  const { sentBytes, sentPackets, receivedBytes, receivedPackets } =
    totals.find((total) => total.tag === tag) ?? NOTHING;
  return { sentBytes, sentPackets, receivedBytes, receivedPackets };
};
const atMost = (a: Counters, b: Counters): boolean => COUNTERS.every((name) => a[name] <= b[name]);

it('totals never run ahead, never fall, and in the end are what was counted', () => {
  let collections = 0;
  let deaths = 0;
  fc.assert(
    fc.property(fc.array(event, { minLength: 20, maxLength: 60 }), (events) => {
      const world = new World(freshFile());
      const collect = world.collect.bind(world);
      world.collect = (fuse): boolean => {
        const whole = collect(fuse);
        collections += 1;
        if (!whole) deaths += 1;
        return whole;
      };
      try {
        let before = world.books.totals();
        for (const happens of events) {
          happens(world);
          const after = world.books.totals();
          for (const tag of [1, 2]) {
            expect(atMost(totalOf(before, tag), totalOf(after, tag))).toBe(true);
            expect(atMost(totalOf(after, tag), world.counted.get(tag) ?? NOTHING)).toBe(true);
          }
          before = after;
        }
        world.collect(undefined);
        const totals = world.books.totals();
        for (const tag of [1, 2]) expect(totalOf(totals, tag)).toEqual(world.counted.get(tag) ?? NOTHING);
        // What is gone leaves the kernel, and what is there stays.
        world.uptime += GRACE_MS;
        world.collect(undefined);
        expect(world.inKernel).toBe(world.attached);
      } finally {
        world.books.close();
      }
    }),
    { numRuns: 150 },
  );
  process.stdout.write(
    `  accounts: ${collections} collections, ${deaths} of them cut off; lost or counted twice: 0\n`,
  );
  expect(deaths).toBeGreaterThan(100);
});
