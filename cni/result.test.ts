import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { Nic } from '../model/endpoint.ts';
import { PreviousResult } from './previous.ts';
import { addResult, type Made, missingFromResult } from './result.ts';
import { CNI_VERSIONS } from './version.ts';

const endpoint: Made = {
  netns: '/run/netns/cart',
  nics: z.array(Nic).parse([
    {
      side: 'external',
      ifName: 'eth0',
      hostIf: 'slx0a500007',
      address: '10.80.0.7',
      block: '10.80.0.0/22',
      gateway: '10.80.0.1',
      mac: '02:5c:0a:50:00:07',
      mtu: 1484,
      routes: ['default'],
    },
    {
      side: 'internal',
      ifName: 'eth1',
      hostIf: 'sli0a400007',
      address: '10.64.0.7',
      block: '10.64.0.0/22',
      gateway: '10.64.0.1',
      mac: '02:5c:0a:40:00:07',
      mtu: 1484,
      routes: ['10.64.0.0/12'],
    },
  ]),
  dns: { nameservers: ['192.0.2.53'], search: ['shop.example'] },
};

/** From a plugin of another maker, with every field of 1.1.0 and one of its own. */
const previous = PreviousResult.parse({
  cniVersion: '1.1.0',
  interfaces: [
    { name: 'vf0', mac: '06:00:00:00:00:01', mtu: 9000, pciID: '0000:04:00.5', vendor: 'x' },
    { name: 'net1', mac: '06:00:00:00:00:02', mtu: 9000, sandbox: '/run/netns/cart' },
  ],
  ips: [{ address: '2001:db8::9/64', gateway: '2001:db8::1', interface: 1 }],
  routes: [{ dst: '2001:db8:1::/48', gw: '2001:db8::1', mtu: 1400, priority: 5, table: 100 }],
  dns: { nameservers: ['2001:db8::53'] },
});

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8'));
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('addResult', () => {
  it('lists the IPv6 address behind the IPv4 address of its interface, and the route', () => {
    const ipv6 = Nic.shape.ipv6.parse({
      address: 'fd5c:51:ce::a40:7',
      gateway: 'fd5c:51:ce::a40:1',
      pool: 'fd5c:51:ce::/96',
    });
    const dual = {
      ...endpoint,
      nics: endpoint.nics.map((nic) => (nic.side === 'internal' ? { ...nic, ipv6 } : nic)),
    };
    const result = addResult(dual, '1.1.0', null);
    expect(result.ips.slice(1)).toEqual([
      { address: '10.64.0.7/22', gateway: '10.64.0.1', interface: 1 },
      { address: 'fd5c:51:ce::a40:7/128', gateway: 'fd5c:51:ce::a40:1', interface: 1 },
    ]);
    expect(result.routes.at(-1)).toEqual({ dst: 'fd5c:51:ce::/96', gw: 'fd5c:51:ce::a40:1' });
    const final = PreviousResult.parse(sent({ ...result, ips: result.ips.slice(0, 2) }));
    expect(missingFromResult(dual, final)).toEqual(['address fd5c:51:ce::a40:7/128 of eth1']);
  });

  it.each(CNI_VERSIONS)('is spelled as %s wants it', (version) => {
    expect(sent(addResult(endpoint, version, null))).toEqual(golden(`result-${version}`));
  });

  it.each(CNI_VERSIONS)('comes after the previous result, in %s', (version) => {
    expect(sent(addResult(endpoint, version, previous))).toEqual(golden(`chained-${version}`));
  });

  it("leaves the previous plugin's name servers where we have none", () => {
    expect(addResult({ ...endpoint, dns: null }, '1.1.0', previous).dns).toEqual(previous.dns);
    expect(addResult({ ...endpoint, dns: {} }, '1.1.0', null)).not.toHaveProperty('dns');
  });
});

describe('missingFromResult', () => {
  const after = (version: (typeof CNI_VERSIONS)[number]): PreviousResult =>
    PreviousResult.parse(sent(addResult(endpoint, version, previous)));

  it.each(CNI_VERSIONS)('misses nothing in what ADD answered in %s', (version) => {
    expect(missingFromResult(endpoint, after(version))).toEqual([]);
  });

  it('names the interface and the address that are gone', () => {
    const all = after('1.1.0');
    const without = {
      ...all,
      interfaces: all.interfaces.map((one) => (one.name === 'eth1' ? { ...one, name: 'ethX' } : one)),
    };
    expect(missingFromResult(endpoint, without)).toEqual(['interface eth1 with MAC 02:5c:0a:40:00:07']);
    const moved = { ...all, ips: all.ips.filter((ip) => ip.address !== '10.80.0.7/22') };
    expect(missingFromResult(endpoint, moved)).toEqual(['address 10.80.0.7/22 of eth0']);
  });
});
