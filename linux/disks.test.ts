import { numbersOf, parseMounts } from './disks.ts';

it('takes device numbers apart as the C library does', () => {
  expect(numbersOf(0xfe00)).toBe('254:0');
  expect(numbersOf(0x0801)).toBe('8:1');
  expect(numbersOf(0x0101_0303)).toBe('259:4099');
});

it('reads mounts, with names that hold blanks, and where an overlay is written to', () => {
  const text = [
    '36 35 254:1 /mnt1 /a\\040b rw,noatime master:1 - ext4 /dev/root rw,errors=continue',
    '41 36 0:50 / / rw,relatime - overlay overlay rw,lowerdir=l/AB:l/CD,upperdir=/var/lib/x\\040y/diff,workdir=/w',
    '',
  ].join('\n');
  const [plain, overlay] = parseMounts(text);
  expect(plain).toMatchObject({ device: '254:1', mountPoint: '/a b', type: 'ext4', source: '/dev/root' });
  expect(overlay?.options.get('upperdir')).toBe('/var/lib/x y/diff');
});
