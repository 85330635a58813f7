import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { DEFAULT_MARK_MASK, type MarkMask } from '../../model/mark.ts';
import type { IfName, TenantTag } from '../../model/names.ts';
import { type FlowRules, flowBits, flowFactsScript, LARGEST_GROUP } from './flow-rules.ts';

const RULES: FlowRules = {
  ...{ table: 't', uplink: 'up0' as IfName, tunnel: 'sg-a' as IfName, port: 4_790 },
  ...{ ownBlock: '10.64.0.0/22' as Cidr, markMask: DEFAULT_MARK_MASK },
};

describe('the bits of the mark between two chains', () => {
  it.each([0xfff0_0000, 0xffe0_0000, 0x00ff_0000, 0xf000_0000, 0x0ff0_0000])(
    'are clear of the mask %s, of the group id, and of what would become flags on the wire',
    (mask) => {
      const { carried, again } = flowBits(mask as MarkMask);
      expect(carried & again).toBe(0);
      for (const bit of [carried, again]) {
        expect(bit & mask).toBe(0);
        expect(bit & LARGEST_GROUP).toBe(0);
        expect(bit & ((1 << 22) | (1 << 19))).toBe(0); // net/vxlan.h
      }
    },
  );

  it.each([0xffff_0000, 0x0000_0ff0, 0x000f_ff00])('cannot be had beside the mask %s', (mask) => {
    expect(() => flowBits(mask as MarkMask)).toThrow(SluiceError);
  });
});

describe('what the rules look up', () => {
  const facts = (tenants: [number, number][]): string =>
    flowFactsScript(RULES, {
      peers: ['192.0.2.2' as Ipv4],
      tenants: tenants.map(([index, tag]) => [index, tag as TenantTag]),
    });

  it('leads from group and connection to the mark, and back, for one tenant only', () => {
    const script = facts([[1, 7]]);
    expect(script).toContain('add element ip t inward { 0x7 . 0x100000 : 0x110000 }');
    expect(script).toContain('add element ip t outward { 0x100000 . 0x100000 : 0x10007 }');
    expect(script).toContain('add element ip t peers { 192.0.2.2 }');
  });

  it('has no group for a tag that does not fit', () => {
    expect(facts([[1, LARGEST_GROUP + 1]])).toBe(
      'flush set ip t peers\nadd element ip t peers { 192.0.2.2 }\nflush map ip t outward\nflush map ip t inward\n',
    );
  });
});
