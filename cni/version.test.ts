import { SluiceError } from '../model/errors.ts';
import { cniError } from './error.ts';
import { versionForErrors, versionResult } from './version.ts';

describe('VERSION', () => {
  it('gives the version back and lists what is supported', () => {
    expect(versionResult('1.0.0')).toEqual({
      cniVersion: '1.0.0',
      supportedVersions: ['0.4.0', '1.0.0', '1.1.0'],
    });
  });
});

describe('an error', () => {
  it.each([
    ['{"cniVersion":"0.4.0","broken":[]}', '0.4.0'],
    ['{"cniVersion":"7"}', '7'],
    ['{"cniVersion":""}', '1.1.0'],
    ['{"cniVersion":7}', '1.1.0'],
    ['{}', '1.1.0'],
    ['null', '1.1.0'],
    ['"text"', '1.1.0'],
    ['{"cniVersion":"0.4.0"', '1.1.0'],
  ])('about %s has the version %s', (stdin, expected) => {
    expect(versionForErrors(stdin)).toBe(expected);
  });

  it('is code, message, and what to do', () => {
    const error = new SluiceError('port_taken', 'port 80/tcp is taken by cart', 'publish another port');
    expect(cniError(error, '1.0.0')).toEqual({
      cniVersion: '1.0.0',
      code: 102,
      msg: 'port 80/tcp is taken by cart',
      details: 'publish another port',
    });
  });
});
