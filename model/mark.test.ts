import { DEFAULT_MARK_MASK, indexOfMark, largestIndex, MarkMask, markOf, probeIndex } from './mark.ts';

const mask = (value: number): MarkMask => MarkMask.parse(value);

describe('the mask of the mark', () => {
  it.each([0xfff0_0000, 0x0fff_0000, 0x0000_ffff, 0xf000_0000, 0x1e])('may be %i', (value) => {
    expect(MarkMask.safeParse(value).success).toBe(true);
  });

  it.each([0, 0x7, 0xf0f0_0000, 0x1_ffff, 0xff_ffff_ffff, -1, 1.5])(
    'may not be %d: too narrow, too wide, or with gaps',
    (value) => {
      expect(MarkMask.safeParse(value).success).toBe(false);
    },
  );

  it('leaves room for 4095 tenants on a node by default', () => {
    expect(largestIndex(DEFAULT_MARK_MASK)).toBe(4094);
    expect(markOf(probeIndex(DEFAULT_MARK_MASK), DEFAULT_MARK_MASK)).toBe(DEFAULT_MARK_MASK);
  });
});

describe('a mark', () => {
  it.each([
    [1, 0xfff0_0000, 0x0010_0000],
    [4095, 0xfff0_0000, 0xfff0_0000],
    [5, 0x00ff_0000, 0x0005_0000],
  ])('has index %i in its place', (index, bits, mark) => {
    expect(markOf(index, mask(bits))).toBe(mark);
    expect(indexOfMark(mark, mask(bits))).toBe(index);
  });

  it('tells its index whatever others have set beside it', () => {
    expect(indexOfMark(0x8001_4539, DEFAULT_MARK_MASK)).toBe(0x800);
  });
});
