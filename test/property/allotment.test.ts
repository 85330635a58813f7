/** Laws of what the server hands out: tags only go up, blocks never overlap and are given from the bottom. */
import fc from 'fast-check';
import {
  type Cidr,
  cidrContains,
  cidrNetwork,
  cidrNth,
  cidrOverlaps,
  cidrPrefix,
  numberToIpv4,
} from '../../model/addresses.ts';
import type { ClusterNode, ClusterSettings } from '../../model/cluster.ts';
import { STRANGER_TAG } from '../../model/fence-probe.ts';
import { type NodeName, PROBE_TAG } from '../../model/names.ts';
import { nextBlock } from '../../orchestrator/server/allot-block.ts';
import { nextTag } from '../../orchestrator/server/allot-tag.ts';
import { planKnownNode, planNewNode } from '../../orchestrator/server/plan-node.ts';

/** A pool, a block size and which of its blocks are taken; some pools are full. */
const allotment = fc
  .record({
    poolPrefix: fc.integer({ min: 8, max: 24 }),
    more: fc.integer({ min: 0, max: 5 }),
    seed: fc.nat(),
  })
  .chain(({ poolPrefix, more, seed }) => {
    const size = 2 ** (32 - poolPrefix);
    const pool = `${numberToIpv4((seed % 2 ** poolPrefix) * size)}/${poolPrefix}` as Cidr;
    const taken = fc.uniqueArray(fc.nat({ max: 2 ** more - 1 }), { maxLength: 2 ** more });
    return fc.record({ pool: fc.constant(pool), prefix: fc.constant(poolPrefix + more), taken });
  });

describe('nextTag', () => {
  it('gives every tenant a higher tag than all before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: STRANGER_TAG - 2 }), (last) => nextTag(last) === last + 1),
    );
  });

  it('ends before the two tags of the fence’s own probes', () => {
    expect(nextTag(STRANGER_TAG - 2)).toBe(STRANGER_TAG - 1);
    for (const last of [STRANGER_TAG - 1, STRANGER_TAG, PROBE_TAG]) {
      expect(() => nextTag(last)).toThrow(expect.objectContaining({ code: 'limited' }));
    }
  });
});

describe('nextBlock', () => {
  it('gives the lowest block that is free, inside the pool, over no other; or says that there is none', () => {
    fc.assert(
      fc.property(allotment, ({ pool, prefix, taken }) => {
        const count = 2 ** (prefix - cidrPrefix(pool));
        const blocks = taken.map((n) => cidrNth(pool, prefix, n));
        if (taken.length === count) {
          expect(() => nextBlock(pool, prefix, blocks)).toThrow(
            expect.objectContaining({ code: 'addresses_exhausted' }),
          );
          return;
        }
        const block = nextBlock(pool, prefix, blocks);
        expect(cidrPrefix(block)).toBe(prefix);
        expect(cidrContains(pool, cidrNetwork(block))).toBe(true);
        expect(blocks.filter((other) => cidrOverlaps(other, block))).toEqual([]);
        const lowest = Array.from({ length: count }, (_, n) => n).find((n) => !taken.includes(n)) ?? -1;
        expect(block).toBe(cidrNth(pool, prefix, lowest));
      }),
    );
  });
});

describe('planNewNode', () => {
  const settings = {
    internalPool: '10.64.0.0/24',
    externalPool: '10.80.0.0/24',
    blockPrefix: 28,
  } as ClusterSettings;
  const uplink = (n: number): ClusterNode['uplinkAddress'] => numberToIpv4(0xc0_00_02_00 + n);
  const name = (n: number): NodeName => `n${n}` as NodeName;

  /** Nodes come and go in any order; what is left must never share anything. */
  it('keeps all blocks and uplinks apart, whoever comes and goes', () => {
    const step = fc.record({ come: fc.boolean(), who: fc.integer({ min: 1, max: 12 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const nodes = new Map<number, ClusterNode>();
        for (const { come, who } of steps) {
          const others = [...nodes.values()].filter(({ node }) => node !== name(who));
          if (!come) nodes.delete(who);
          else if (nodes.has(who))
            expect(planKnownNode(nodes.get(who)!, { uplinkAddress: uplink(who) }, others, settings)).toEqual(
              nodes.get(who),
            );
          else
            nodes.set(who, planNewNode({ node: name(who), uplinkAddress: uplink(who) }, others, settings, 0));
        }
        const all = [...nodes.values()];
        for (const side of ['internalBlock', 'externalBlock'] as const) {
          expect(new Set(all.map((node) => node[side])).size).toBe(all.length);
        }
      }),
    );
  });

  it('refuses an uplink that another node has, or that lies in a pool', () => {
    const first = planNewNode({ node: name(1), uplinkAddress: uplink(1) }, [], settings, 0);
    expect(() => planNewNode({ node: name(2), uplinkAddress: uplink(1) }, [first], settings, 0)).toThrow(
      expect.objectContaining({ code: 'address_taken' }),
    );
    const inside = numberToIpv4(0x0a_40_00_05);
    expect(() => planNewNode({ node: name(2), uplinkAddress: inside }, [first], settings, 0)).toThrow(
      expect.objectContaining({ code: 'invalid_request' }),
    );
  });
});
