import * as z from 'zod';
import { addressesOf, type Egress, egressesCollide, GuardRules, parsePool, parsePorts } from './guard.ts';

const refused = (rules: unknown): string => {
  const parsed = GuardRules.safeParse(rules);
  return parsed.success ? '' : z.prettifyError(parsed.error);
};
const rule = (more: object): object => ({ tenant: 'blue', rules: [{ name: 'one', ...more }] });
const egress = (node: string, address: string, ports?: string): Egress =>
  ({ node, address, ...(ports !== undefined && { ports }) }) as Egress;

describe('the schema of guard rules', () => {
  it('takes a tenant alone, and then allows everything', () => {
    expect(GuardRules.parse({ tenant: 'blue' })).toEqual({
      tenant: 'blue',
      egress: [],
      rules: [],
      default: 'allow',
    });
  });

  it('takes one value or several for each key of a match', () => {
    const match = {
      domain: ['example.com', '*.example.org'],
      protocol: 'tls',
      destination: '192.0.2.0/24',
      ports: [443, '8000-8999'],
    };
    expect(refused(rule({ match, verdict: 'allow' }))).toBe('');
  });

  it.each([
    ['an unknown key', { tenant: 'blue', limit: {} }, 'limit'],
    ['an unknown key of a match', rule({ match: { host: 'a.b' }, verdict: 'deny' }), 'host'],
    ['a rule that decides nothing', rule({}), 'either a verdict (allow or deny) or a limit'],
    [
      'a rule that decides twice',
      rule({ verdict: 'allow', limit: { concurrent: 1 } }),
      'either a verdict (allow or deny) or a limit',
    ],
    ['a limit of nothing', rule({ limit: { burst: 3 } }), 'newPerSecond, concurrent, or both'],
    ['a star inside a name', rule({ match: { domain: 'a.*.com' }, verdict: 'deny' }), "'*' only in front"],
    ['a name in capitals', rule({ match: { domain: 'Example.com' }, verdict: 'deny' }), 'small letters'],
    ['ports in the wrong order', rule({ match: { ports: ['90-80'] }, verdict: 'deny' }), 'the lower first'],
    ['a reserved name', { tenant: 'blue', rules: [{ name: 'default', verdict: 'deny' }] }, 'are taken'],
    ['an unknown protocol', rule({ match: { protocol: 'smtp' }, verdict: 'deny' }), 'tls'],
    [
      'two rules of one name',
      {
        tenant: 'blue',
        rules: [
          { name: 'one', verdict: 'deny' },
          { name: 'one', verdict: 'allow' },
        ],
      },
      'two rules have the same name',
    ],
    [
      'a pool that is too large',
      { tenant: 'blue', egress: [{ node: 'a', address: '192.0.2.1-192.0.2.99' }] },
      'at most 16',
    ],
  ])('refuses %s and says why', (_, rules, words) => {
    expect(refused(rules)).toContain(words);
  });
});

describe('ranges', () => {
  it('reads ports and addresses, and nothing that only looks like them', () => {
    expect(parsePorts('20000-29999')).toEqual({ first: 20_000, last: 29_999 });
    expect(['1', '0-5', '5-70000', '1-2-3', 'a-b'].map(parsePorts)).toEqual(Array(5).fill(undefined));
    expect(parsePool('192.0.2.7')).toEqual({ first: '192.0.2.7', last: '192.0.2.7' });
    expect(['192.0.2', '192.0.2.9-192.0.2.1', '1.1.1.1-1.1.1.2-1.1.1.3'].map(parsePool)).toEqual(
      Array(3).fill(undefined),
    );
  });

  it('lists the addresses of a pool across a boundary of bytes', () => {
    expect(addressesOf({ address: '192.0.2.254-192.0.3.1' })).toEqual([
      '192.0.2.254',
      '192.0.2.255',
      '192.0.3.0',
      '192.0.3.1',
    ]);
  });

  it('lets two tenants share an address on one node by ports, and never on two nodes', () => {
    const low = egress('a', '192.0.2.7', '1024-9999');
    expect(egressesCollide(low, egress('a', '192.0.2.7', '10000-19999'))).toBe(false);
    expect(egressesCollide(low, egress('a', '192.0.2.7', '9999-19999'))).toBe(true);
    expect(egressesCollide(low, egress('a', '192.0.2.7'))).toBe(true);
    expect(egressesCollide(low, egress('b', '192.0.2.7', '10000-19999'))).toBe(true);
    expect(egressesCollide(low, egress('b', '192.0.2.8'))).toBe(false);
  });
});
