import { STRANGER_TAG } from '../../model/fence-probe.ts';
import { PROBE_TAG } from '../../model/names.ts';
import { nextTag } from './allot-tag.ts';

describe('tags', () => {
  it('go up from 1', () => {
    expect([nextTag(0), nextTag(1), nextTag(41)]).toEqual([1, 2, 42]);
  });

  it('of the fence’s own probes are never given to a tenant', () => {
    expect(nextTag(STRANGER_TAG - 2)).toBe(STRANGER_TAG - 1);
    for (const last of [STRANGER_TAG - 1, STRANGER_TAG, PROBE_TAG]) {
      expect(() => nextTag(last)).toThrow('all 16,777,213 tenant tags have been given');
    }
  });
});
