import { type Ipv4, ipv6In, ipv6ToBytes, Pool6, pool6ToBytes } from './addresses.ts';

describe('the pool of internal IPv6 addresses', () => {
  it.each(['fd5c:51:ce::/96', 'fd00::/96', 'fc00:0:1::/96', 'fd00:1:2:3:4:5::/96'])('may be %s', (pool) => {
    expect(Pool6.parse(pool)).toBe(pool);
  });

  it.each([
    'fd5c:51:ce::/64',
    'fd5c:51:ce::1/96',
    'FD5C:51:ce::/96',
    'fd5c:51:ce:0::/96',
    '2001:db8::/96',
    'fe80::/96',
    '10.64.0.0/12',
    'fd5c:51:ce::',
    '',
  ])('may not be %j', (pool) => {
    expect(Pool6.safeParse(pool).success).toBe(false);
  });

  it('gives every internal IPv4 address one of its own', () => {
    const pool = Pool6.parse('fd5c:51:ce::/96');
    const address = ipv6In(pool, '10.64.0.7' as Ipv4);
    expect(address).toBe('fd5c:51:ce::a40:7');
    expect([...ipv6ToBytes(address)]).toEqual([...pool6ToBytes(pool), 10, 64, 0, 7]);
  });
});
