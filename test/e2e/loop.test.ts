/** Loop devices: one for a file, by whatever name it is called. */
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { makeScratchDirectory } from '../../linux/directories.ts';
import { attachLoop, loopsInUse } from '../../linux/loop.ts';

let scratch: string;
beforeEach(() => {
  if (process.getuid?.() !== 0) throw new Error('this test makes loop devices: run it as root');
  scratch = makeScratchDirectory('loop');
});
afterEach(() => {
  rmSync(scratch, { recursive: true });
});

it('shows a file by one device, also when it is named through a link', () => {
  mkdirSync(`${scratch}/real`);
  symlinkSync('real', `${scratch}/link`);
  const file = `${scratch}/real/image`;
  writeFileSync(file, '');
  truncateSync(file, 2 ** 20);
  using one = attachLoop(`${scratch}/link/image`);
  using other = attachLoop(`${scratch}/link/image`);
  using plain = attachLoop(file);
  expect([other.device, plain.device]).toEqual([one.device, one.device]);
  expect(loopsInUse().filter((device) => device.file === file)).toHaveLength(1);
});
