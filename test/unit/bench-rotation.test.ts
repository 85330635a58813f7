import { isMet, ROWS } from '../../bench/catalogue.ts';
import { type RotationFigures, rowOfRotation } from '../../bench/rotation/report.ts';

const refused = { tag_epoch: 0, tag_forged: 0, no_key: 0 };
const numbered = { sent: 600_000, lost: 0, twice: 0, overflowed: 0, refused };
const figures: RotationFigures = {
  seconds: 60,
  before: { ...numbered, sent: 100_000 },
  udp: { ...numbered, completed: 60, skipped: 0 },
  after: { ...numbered, sent: 100_000 },
  tcp: { gigabitsPerSecond: 9, completed: 10, skipped: 0, refused },
  tcpCalm: { gigabitsPerSecond: 10, refused },
};
const valueWith = (changed: Partial<RotationFigures>): number =>
  rowOfRotation('R1.rotation', { ...figures, ...changed }).value;

describe('the row of rotation', () => {
  it('is met by nothing lost, and says how often keys changed', () => {
    const row = rowOfRotation('R1.rotation', figures);
    expect(row).toMatchObject({ value: 0, baseline: 0, details: { changes: 60, tcpRatio: 0.9 } });
    expect(isMet(ROWS['R1.rotation'].goal, row.value, row.baseline)).toBe(true);
    expect(isMet(ROWS['R1.rotation'].goal, 1, 0)).toBe(false);
  });

  it('counts a packet once that is missing because it was refused', () => {
    const refusedTwo = { ...refused, tag_epoch: 1, no_key: 1 };
    expect(valueWith({ udp: { ...figures.udp, lost: 5, refused: refusedTwo } })).toBe(5);
    expect(valueWith({ udp: { ...figures.udp, lost: 0, refused: refusedTwo } })).toBe(2);
  });

  it('counts what was refused of a stream, although TCP sends it again', () => {
    expect(valueWith({ tcp: { ...figures.tcp, refused: { ...refused, tag_forged: 3 } } })).toBe(3);
  });

  it('has for comparison what was lost with one key', () => {
    const busy = { ...figures.before, lost: 4 };
    expect(rowOfRotation('R1.rotation', { ...figures, before: busy, after: busy }).baseline).toBe(8);
  });

  it('is no figure when keys hardly changed', () => {
    const seldom = { ...figures.udp, completed: 54 };
    expect(() => valueWith({ udp: seldom })).toThrow('only 54 changes of keys in 60 s');
    expect(valueWith({ udp: { ...seldom, completed: 55 } })).toBe(0);
  });
});
