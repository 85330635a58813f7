import fc from 'fast-check';
import { numberToIpv4 } from '../../model/addresses.ts';
import { GUARD_PROTOCOLS, GuardRules } from '../../model/guard.ts';
import { LimitAccounts, MOST_ACCOUNTS } from '../../tagqueue/guard/limits.ts';
import { compilePolicy, type FlowFacts } from '../../tagqueue/guard/policy.ts';

const domain = fc.constantFrom('a.example', 'b.a.example', 'example', 'c.other', 'other');
const pattern = fc.tuple(fc.constantFrom('', '*.'), domain).map(([star, name]) => star + name);
const protocol = fc.constantFrom(...GUARD_PROTOCOLS);
const maybe = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined });
const match = fc
  .record({
    domain: maybe(fc.array(pattern, { minLength: 1, maxLength: 3 })),
    protocol: maybe(fc.array(protocol, { minLength: 1, maxLength: 2 })),
    destination: maybe(fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0')),
    ports: maybe(fc.array(fc.constantFrom(53, 443, '400-500'), { minLength: 1, maxLength: 2 })),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
const rules = fc
  .tuple(
    fc.array(fc.tuple(match, fc.constantFrom('allow', 'deny')), { maxLength: 8 }),
    fc.constantFrom('allow', 'deny'),
  )
  .map(([list, otherwise]) =>
    GuardRules.parse({
      tenant: 'blue',
      rules: list.map(([one, verdict], i) => ({ name: `r${i}`, match: one, verdict })),
      default: otherwise,
    }),
  );
const facts = fc.record({
  destination: fc.constantFrom(0x0a00_0001, 0x0a01_0001, 0x0b00_0001).map(numberToIpv4),
  port: fc.constantFrom(53, 80, 443, undefined),
  seen: fc.record({ protocol, domain: fc.option(domain) }),
});

describe('the policy', () => {
  it('always decides when it knows all, and the rule it names is one of the file or the default', () => {
    fc.assert(
      fc.property(rules, facts, (file, all) => {
        const decision = compilePolicy(file).decide(all, 0);
        const rule = file.rules.find(({ name }) => name === decision?.rule);
        expect(decision?.verdict).toBe(rule?.verdict ?? file.default);
        expect(decision?.rule).toBe(rule?.name ?? 'default');
      }),
    );
  });

  it('decides early only what it would decide anyway', () => {
    fc.assert(
      fc.property(rules, facts, (file, all) => {
        const policy = compilePolicy(file);
        const early = policy.decide({ ...all, seen: undefined } satisfies FlowFacts, 0);
        if (early !== undefined) expect(early).toEqual(policy.decide(all, 0));
      }),
      { numRuns: 1_000 },
    );
  });

  it('foretells what it decides, and takes only the first rule that matches', () => {
    fc.assert(
      fc.property(rules, facts, (file, all) => {
        const policy = compilePolicy(file);
        const { rule } = policy.foretell(all);
        expect(rule).toBe(policy.decide(all, 0)?.rule);
        const first = file.rules.findIndex(({ name }) => name === rule);
        const without = compilePolicy({ ...file, rules: file.rules.slice(0, first < 0 ? undefined : first) });
        expect(without.foretell(all).rule).toBe('default');
      }),
    );
  });
});

describe('a limit', () => {
  const limit = fc.record({
    newPerSecond: fc.integer({ min: 1, max: 50 }),
    burst: fc.integer({ min: 1, max: 20 }),
    concurrent: fc.integer({ min: 0, max: 30 }),
  });
  const steps = fc.array(
    fc.record({ afterMs: fc.nat(300), leaves: fc.boolean(), holder: fc.constantFrom<'a' | 'b'>('a', 'b') }),
    { maxLength: 200 },
  );

  it('never lets in more than its rate and its burst, nor more at one time than it says', () => {
    fc.assert(
      fc.property(limit, steps, (given, all) => {
        const accounts = new LimitAccounts(given);
        const counts = { a: { inside: 0, entered: 0 }, b: { inside: 0, entered: 0 } };
        let now = 0;
        for (const { afterMs, leaves, holder } of all) {
          now += afterMs;
          const count = counts[holder];
          if (leaves && count.inside > 0) {
            accounts.leave(holder);
            count.inside -= 1;
          }
          const entered = accounts.enter(holder, now) === undefined ? 0 : 1;
          count.inside += entered;
          count.entered += entered;
          expect(count.inside).toBeLessThanOrEqual(given.concurrent);
          expect(count.entered).toBeLessThanOrEqual(given.burst + (now / 1_000) * given.newPerSecond + 1e-6);
        }
      }),
    );
  });

  it('keeps a bounded number of accounts, and is not loosened by asking for more names', () => {
    const accounts = new LimitAccounts({ newPerSecond: 1, burst: 1 });
    let admitted = 0;
    for (let i = 0; i < 10 * MOST_ACCOUNTS; i++)
      if (accounts.enter(`name-${i}`, 0) !== undefined) admitted += 1;
    expect(accounts.size).toBeLessThanOrEqual(MOST_ACCOUNTS + 1);
    expect(admitted).toBe(MOST_ACCOUNTS + 1);
    expect(accounts.enter('later', 5_000)).toBe('later');
  });
});
