import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ensureDirectory, readTextIfThere, removeIfThere, writeAtomically } from './files.ts';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-files-'));
afterAll(() => fs.rmSync(directory, { recursive: true }));

const modeOf = (file: string): string => (fs.statSync(file).mode & 0o777).toString(8);

describe('a file written atomically', () => {
  it('is there whole, with its mode, in a private directory', () => {
    const file = path.join(directory, 'new', 'deep', 'file');
    writeAtomically(file, 'first');
    expect([readTextIfThere(file), modeOf(file), modeOf(path.dirname(file))]).toEqual([
      'first',
      '600',
      '700',
    ]);
  });

  it('takes the place of an older one, whatever its mode, and leaves nothing else', () => {
    const file = path.join(directory, 'old');
    fs.writeFileSync(file, 'old', { mode: 0o666 });
    writeAtomically(file, Buffer.from('new'), 0o640);
    expect([readTextIfThere(file), modeOf(file)]).toEqual(['new', '640']);
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it('leaves the old one when it cannot be written', () => {
    const target = path.join(directory, 'directory');
    fs.mkdirSync(path.join(target, 'kept'), { recursive: true });
    expect(() => writeAtomically(target, 'x')).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(fs.existsSync(path.join(target, 'kept'))).toBe(true);
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it('does not follow a link that somebody put in the way', () => {
    const victim = path.join(directory, 'victim');
    fs.writeFileSync(victim, 'precious');
    const file = path.join(directory, 'linked');
    fs.symlinkSync(victim, `${file}.${process.pid}.new`);
    writeAtomically(file, 'ours');
    expect([readTextIfThere(file), readTextIfThere(victim)]).toEqual(['ours', 'precious']);
  });
});

describe('what is not there', () => {
  it('reads as undefined and is removed without complaint', () => {
    const file = path.join(directory, 'nowhere', 'file');
    expect(readTextIfThere(file)).toBeUndefined();
    removeIfThere(file);
    ensureDirectory(path.dirname(file));
    ensureDirectory(path.dirname(file));
    expect(modeOf(path.dirname(file))).toBe('700');
  });
});
