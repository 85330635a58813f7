import { isNetworkCard } from './links.ts';

describe('whether a link ends in a network card', () => {
  it.each<[string, boolean, string | undefined, boolean]>([
    ['hardware, which has no kind', true, undefined, true],
    ['a bond of cards', true, 'bond', true],
    ['a VLAN of a card', true, 'vlan', true],
    ['a veth', true, 'veth', false],
    ['a bridge', true, 'bridge', false],
    ['a tap', true, 'tun', false],
    ['the loopback', false, undefined, false],
  ])('%s', (_what, ethernet, kind, card) => {
    expect(isNetworkCard({ ethernet, kind })).toBe(card);
  });
});
