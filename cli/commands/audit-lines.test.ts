import { detailLines } from './audit-lines.ts';

describe('what a change has done, in lines', () => {
  it('is a line for each container of a switch', () => {
    const before = { limits: { 'a/blue/web/eth0': { cpu: 0.5, 'net.external.out': 10e6 } } };
    const after = { switch: {}, limits: { 'a/blue/web/eth0': { cpu: 1, 'net.external.out': null } } };
    expect(detailLines({ before, after })).toEqual([
      'a/blue/web/eth0  cpu 0.5 → 1, net.external.out 10Mbit → unlimited',
    ]);
  });

  it('ends where there are too many', () => {
    const limits = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`c${i}`, { cpu: 1 }]));
    const lines = detailLines({ before: { limits }, after: { limits } });
    expect(lines).toHaveLength(11);
    expect(lines.at(-1)).toBe('and 2 more: --json shows all');
  });

  it('is both sides of anything else, and nothing where nothing is known', () => {
    expect(detailLines({ before: null, after: { borrow: true } })).toEqual([
      'before null',
      'after  {"borrow":true}',
    ]);
    expect(detailLines({})).toEqual([]);
  });
});
