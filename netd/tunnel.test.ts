import type { IfName } from '../model/names.ts';
import { planTunnel } from './tunnel.ts';

const WANTED = { name: 'sx-a' as IfName, port: 4789 };
const THERE = { index: 5, kind: 'vxlan', tunnelPort: 4789, up: true };
const steps = (...arguments_: Parameters<typeof planTunnel>) =>
  planTunnel(...arguments_).map((one) => one.do);

describe('planTunnel', () => {
  it('does nothing where the device is as it should be', () => {
    expect(steps(WANTED, THERE, true)).toEqual([]);
  });

  it('fences the device before it comes up', () => {
    expect(steps(WANTED, undefined, false)).toEqual(['create', 'fence', 'raise']);
    expect(steps(WANTED, { ...THERE, up: false }, false)).toEqual(['fence', 'raise']);
  });

  it('fences it anew when the programs are others', () => {
    expect(steps(WANTED, THERE, false)).toEqual(['fence']);
  });

  it.each([{ tunnelPort: 8472 }, { kind: 'bridge', tunnelPort: undefined }])(
    'makes it anew where it is %o',
    (other) => {
      expect(steps(WANTED, { ...THERE, ...other }, true)).toEqual(['remove', 'create', 'fence', 'raise']);
    },
  );
});
