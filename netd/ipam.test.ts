import fc from 'fast-check';
import {
  type Cidr,
  cidrBroadcast,
  cidrContains,
  cidrGateway,
  cidrNetwork,
  cidrNth,
  type Ipv4,
} from '../model/addresses.ts';
import { type BlockState, checkRequested, chooseAddress } from './ipam.ts';

const BLOCK = '10.64.0.0/26' as Cidr;
const USABLE = 61;

function state(
  given: Partial<Record<'live' | 'cooling' | 'reserved', readonly Ipv4[]>> & { last?: Ipv4 } = {},
): BlockState {
  return {
    block: BLOCK,
    last: given.last,
    isLive: (address) => given.live?.includes(address) ?? false,
    isCooling: (address) => given.cooling?.includes(address) ?? false,
    isReservedForOthers: (address) => given.reserved?.includes(address) ?? false,
  };
}

const address = (n: number): Ipv4 => `10.64.0.${n}` as Ipv4;
const anyUsable = fc.integer({ min: 2, max: 62 }).map(address);
const anyState = fc.record({
  live: fc.uniqueArray(anyUsable),
  cooling: fc.uniqueArray(anyUsable),
  reserved: fc.uniqueArray(anyUsable),
  last: anyUsable,
});

describe('chooseAddress', () => {
  it('never gives an address that is live, resting, reserved or special, from any state', () => {
    fc.assert(
      fc.property(anyState, (given) => {
        const taken = new Set([...given.live, ...given.cooling, ...given.reserved]);
        if (taken.size === USABLE) return;
        const chosen = chooseAddress(state(given));
        expect(taken.has(chosen)).toBe(false);
        expect(cidrContains(BLOCK, chosen)).toBe(true);
        expect([cidrNetwork(BLOCK), cidrGateway(BLOCK), cidrBroadcast(BLOCK)]).not.toContain(chosen);
      }),
    );
  });

  it('gives every address of the block once before any comes again', () => {
    const given: Ipv4[] = [];
    for (let i = 0; i < USABLE; i++)
      given.push(
        chooseAddress(state({ live: given, ...(given.length > 0 && { last: given.at(-1) as Ipv4 }) })),
      );
    expect(new Set(given).size).toBe(USABLE);
  });

  it('goes on behind the last one, so that a released address rests as long as it can', () => {
    expect(chooseAddress(state({ last: address(7) }))).toBe(address(8));
    expect(chooseAddress(state({ last: address(62) }))).toBe(address(2));
  });

  it('says how many addresses only rest when none is free', () => {
    const all = Array.from({ length: USABLE }, (_, i) => address(i + 2));
    expect(() => chooseAddress(state({ live: all.slice(3), cooling: all.slice(0, 3) }))).toThrow(
      /58 in use or reserved, 3 released a moment ago/,
    );
  });
});

describe('checkRequested', () => {
  it('allows a resting address, because somebody means exactly that one', () => {
    expect(() => checkRequested(state({ cooling: [address(9)] }), address(9))).not.toThrow();
  });

  it.each([
    ['live', { live: [address(9)] }, address(9), 'address_taken'],
    ['reserved for another name', { reserved: [address(9)] }, address(9), 'address_taken'],
    ['the network', {}, address(0), 'invalid_request'],
    ['the gateway', {}, address(1), 'invalid_request'],
    ['the broadcast address', {}, address(63), 'invalid_request'],
    ['of another block', {}, '10.64.1.9' as Ipv4, 'invalid_request'],
  ])('refuses an address that is %s', (_what, given, wanted, code) => {
    expect(() => checkRequested(state(given), wanted)).toThrow(expect.objectContaining({ code }));
  });
});

describe('the blocks of a pool', () => {
  it('never overlap', () => {
    const pool = '10.64.0.0/12' as Cidr;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 0, max: 1023 }), (a, b) => {
        fc.pre(a !== b);
        expect(cidrContains(cidrNth(pool, 22, a), cidrNetwork(cidrNth(pool, 22, b)))).toBe(false);
      }),
    );
  });
});
