import { readFileSync } from 'node:fs';
import { DROP_REASONS, meaningOfReason, numberOfReason, reasonOfNumber } from './reasons.ts';

const header = readFileSync(new URL('bpf/reasons.h', import.meta.url), 'utf8');
const inHeader = [...header.matchAll(/^ {2}REASON_(\w+) = (\d+),$/gm)].map(([, name, number]) => ({
  name: name!.toLowerCase(),
  number: Number(number),
}));

describe('the drop reasons', () => {
  it('are the same in C and in TypeScript', () => {
    expect(inHeader.length).toBeGreaterThan(0);
    expect(DROP_REASONS.map((name) => ({ name, number: numberOfReason(name) }))).toEqual(inHeader);
  });

  it('are found by their number', () => {
    expect(DROP_REASONS.map((name) => reasonOfNumber(numberOfReason(name)))).toEqual(DROP_REASONS);
    expect(reasonOfNumber(0)).toBeUndefined();
  });

  it.each(DROP_REASONS)('%s is explained in one sentence', (reason) => {
    expect(meaningOfReason(reason)).toMatch(/^[A-Z][^.]*(?:\.\w[^.]*)*\.$/);
  });

  it('fit into the map, whose size is fixed once it is pinned', () => {
    const slots = Number(/REASON_SLOTS (\d+)/.exec(header)?.[1]);
    expect(Math.max(...DROP_REASONS.map(numberOfReason))).toBeLessThan(slots);
  });
});
