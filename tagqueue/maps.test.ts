import type { Cidr, Ipv4, Mac } from '../model/addresses.ts';
import type { Mark, MarkMask } from '../model/mark.ts';
import type { ContainerId, IfName, KeyEpoch, TenantTag } from '../model/names.ts';
import type { AccountId, AccountOwner } from '../model/usage.ts';
import {
  accountKey,
  accountOfKey,
  blockKey,
  blockOfKey,
  decodeAccountName,
  decodeConf,
  decodeKey,
  decodePort,
  decodeRoute,
  encodeAccountName,
  encodeConf,
  encodeKey,
  encodePort,
  encodeRoute,
  ethertypeKey,
  ethertypeOfKey,
  indexKey,
  indexOfKey,
  type PlaneConf,
  type PortBinding,
} from './maps.ts';

const binding: PortBinding = {
  account: 0x1122_3344_5566_7788n as AccountId,
  mark: 0x0010_0000 as Mark,
  ifindex: 9,
  tag: 0x123456 as TenantTag,
  side: 'internal',
  address: '10.64.3.200' as Ipv4,
  mac: '02:5c:0a:40:03:c8' as Mac,
  gateway: '10.64.0.1' as Ipv4,
  gatewayMac: '02:5c:0a:40:00:01' as Mac,
  outClass: 0x1234,
  inClass: 0x5678,
  dualStack: false,
};

const conf: PlaneConf = {
  internalPool: '10.64.0.0/12' as Cidr,
  ownBlock: '10.64.4.0/22' as Cidr,
  epoch: 7 as KeyEpoch,
  markMask: 0xfff0_0000 as MarkMask,
  uplink: 3,
  uplinkAddress: '192.0.2.1' as Ipv4,
  card: true,
  carrier: 'vxlan',
  vxlanPort: 4789,
  fastPath: true,
  pool6: undefined,
};

describe('the map layouts', () => {
  it('have a port as struct port of maps.h', () => {
    expect(encodePort(binding).toString('hex')).toBe(
      [
        ...['8877665544332211', '56341200', '00001000', '09000000', '0a4003c8', '0a400001'],
        ...['025c0a4003c8', '025c0a400001', '02', '00', '3412', '7856', '0000'],
      ].join(''),
    );
  });

  it.each(['external', 'internal'] as const)('read an %s port back as it was', (side) => {
    expect(decodePort(encodePort({ ...binding, side }))).toEqual({ ...binding, side });
  });

  it('have blocks as address and mask in network order', () => {
    expect(encodeConf(conf).toString('hex')).toBe(
      [
        ...['0a400000', 'fff00000', '0a400400', 'fffffc00', '07000000', '0000f0ff', '14000000', '03000000'],
        ...['c0000201', '12b5', '02', '05', '00'.repeat(12)],
      ].join(''),
    );
  });

  it.each(['10.64.4.0/22', '10.64.0.7/32', '128.0.0.0/1'])('read %s back as it was', (block) => {
    const given: PlaneConf = { ...conf, ownBlock: block as Cidr, pool6: Uint8Array.from(Array(12).keys()) };
    expect(decodeConf(encodeConf(given))).toEqual(given);
  });

  it('tell a configuration from none', () => {
    expect(decodeConf(Buffer.alloc(52))).toBeUndefined();
  });

  it('read a route and an owner of an account back as they were', () => {
    const route = { node: '192.0.2.2' as Ipv4, nextHop: '192.0.2.254' as Ipv4 };
    expect(decodeRoute(encodeRoute(route))).toEqual(route);
    expect(blockOfKey(blockKey(conf.ownBlock))).toBe(conf.ownBlock);
    const owner: AccountOwner = {
      tag: 7 as TenantTag,
      side: 'external',
      container: 'c'.repeat(128) as ContainerId,
      ifName: 'eth0' as IfName,
    };
    expect(decodeAccountName(encodeAccountName(owner))).toEqual(owner);
    expect(accountOfKey(accountKey(binding.account))).toBe(binding.account);
  });

  it('tell a key of zeros from no key', () => {
    const zeros = Buffer.alloc(16);
    expect(decodeKey(encodeKey(zeros))).toEqual(zeros);
    expect(decodeKey(encodeKey(undefined))).toBeUndefined();
    expect(() => encodeKey(Buffer.alloc(15))).toThrow(RangeError);
  });

  it('have keys in host order', () => {
    expect(indexKey(0x01020304).toString('hex')).toBe('04030201');
    expect(indexOfKey(indexKey(4711))).toBe(4711);
    expect(ethertypeKey(0x86dd).toString('hex')).toBe('dd86');
    expect(ethertypeOfKey(ethertypeKey(0x86dd))).toBe(0x86dd);
  });
});
