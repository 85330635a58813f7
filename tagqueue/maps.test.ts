import type { Cidr, Ipv4, Mac } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import {
  decodeConf,
  decodeKey,
  decodePort,
  encodeConf,
  encodeKey,
  encodePort,
  ethertypeKey,
  ethertypeOfKey,
  indexKey,
  indexOfKey,
  type PortBinding,
} from './maps.ts';

const binding: PortBinding = {
  tag: 0x123456 as TenantTag,
  side: 'internal',
  address: '10.64.3.200' as Ipv4,
  mac: '02:5c:0a:40:03:c8' as Mac,
  gateway: '10.64.0.1' as Ipv4,
  gatewayMac: '02:5c:0a:40:00:01' as Mac,
};

describe('the map layouts', () => {
  it('have a port as struct port of maps.h', () => {
    expect(encodePort(binding).toString('hex')).toBe(
      ['56341200', '0a4003c8', '0a400001', '025c0a4003c8', '025c0a400001', '02', '000000'].join(''),
    );
  });

  it.each(['external', 'internal'] as const)('read an %s port back as it was', (side) => {
    expect(decodePort(encodePort({ ...binding, side }))).toEqual({ ...binding, side });
  });

  it('have blocks as address and mask in network order', () => {
    const conf = {
      internalPool: '10.64.0.0/12' as Cidr,
      ownBlock: '10.64.4.0/22' as Cidr,
      epoch: 7 as KeyEpoch,
    };
    expect(encodeConf(conf).toString('hex')).toBe('0a400000fff000000a400400fffffc0007000000');
  });

  it.each(['10.64.4.0/22', '10.64.0.7/32', '128.0.0.0/1'])('read %s back as it was', (block) => {
    const conf = { internalPool: '10.64.0.0/12' as Cidr, ownBlock: block as Cidr, epoch: 255 as KeyEpoch };
    expect(decodeConf(encodeConf(conf))).toEqual(conf);
  });

  it('tell a configuration from none', () => {
    expect(decodeConf(Buffer.alloc(20))).toBeUndefined();
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
