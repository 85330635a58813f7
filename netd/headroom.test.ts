import type { IfName } from '../model/names.ts';
import { planHeadroom } from './headroom.ts';

const WANTED = { name: 'sh-a' as IfName, bridge: 3, mtu: 1450, port: 4789 };
const THERE = { index: 6, kind: 'vxlan', tunnelPort: 4789, master: 3, mtu: 1450, up: false };

describe('planHeadroom', () => {
  it('does nothing where the device is as it should be', () => {
    expect(planHeadroom(WANTED, THERE)).toEqual([]);
  });

  it('makes it where there is none', () => {
    expect(planHeadroom(WANTED, undefined)).toEqual([{ do: 'create' }]);
  });

  it.each([
    { up: true },
    { mtu: 1500 },
    { master: undefined },
    { tunnelPort: 8472 },
    { kind: 'veth', tunnelPort: undefined },
  ])('makes it anew where it is %o', (other) => {
    expect(planHeadroom(WANTED, { ...THERE, ...other })).toEqual([
      { do: 'remove', index: 6 },
      { do: 'create' },
    ]);
  });
});
