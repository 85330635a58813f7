import { belongsTo, planLab, planWire } from './topology.ts';

describe('planLab', () => {
  it('gives every node a namespace, an address and a directory of its own', () => {
    const { nodes } = planLab('lab', ['a', 'b']);
    expect(nodes.map(({ address }) => address)).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(nodes.map(({ namespace }) => namespace)).toEqual(['lab.node-a', 'lab.node-b']);
    expect(nodes.map(({ directory }) => directory)).toEqual([
      '/run/sluice-lab/lab/nodes/a',
      '/run/sluice-lab/lab/nodes/b',
    ]);
  });

  it.each([['../etc'], [''], ['Lab'], ['a.b'], ['ninechars']])('refuses the prefix %j', (prefix) => {
    expect(() => planLab(prefix, ['a'])).toThrow('cannot be called');
  });

  it.each([[[]], [['a', 'a']], [['a/b']], [Array.from({ length: 254 }, (_, n) => `n${n}`)]])(
    'refuses these nodes (%#)',
    (nodes) => {
      expect(() => planLab('lab', nodes)).toThrow();
    },
  );

  it("never takes another lab's namespaces for its own", () => {
    const { nodes } = planLab('lab2', ['a']);
    expect(nodes.some(({ namespace }) => belongsTo('lab', namespace))).toBe(false);
    expect(nodes.every(({ namespace }) => belongsTo('lab2', namespace))).toBe(true);
  });
});

describe('planWire', () => {
  it('is a switch unless something else is asked for', () => {
    expect(planWire(['a'], {})).toEqual({ kind: 'switch' });
    expect(planWire(['a', 'b'], { wire: 'nic' })).toEqual({ kind: 'nic' });
    expect(planWire(['a', 'b', 'c'], { middle: { mtu: 1400 } })).toEqual({ kind: 'middle', mtu: 1400 });
  });

  it.each([
    [['a'], { wire: 'nic' }],
    [['a', 'b', 'c'], { wire: 'nic' }],
    [['a', 'b'], { wire: 'nic', middle: { mtu: 1400 } }],
  ] as const)('refuses a cable between %j with %j', (nodes, options) => {
    expect(() => planWire(nodes, options)).toThrow('a cable');
  });
});
