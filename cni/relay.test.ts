import { asSluiceError } from '../model/errors.ts';
import { type Headers, readRelayedCall } from './relay.ts';

const body = (text: string): Uint8Array => new TextEncoder().encode(text);
const code = (headers: Headers, bytes: Uint8Array): string => {
  try {
    return readRelayedCall(headers, bytes).stdin;
  } catch (thrown) {
    return asSluiceError(thrown).code;
  }
};

describe('readRelayedCall', () => {
  it('takes each variable from its header, and leaves out what was not set', () => {
    const headers = {
      'cni-command': 'ADD',
      'cni-args': 'IgnoreUnknown%3D1%3BIP%3D10.64.0.7',
      'cni-netns': '',
      host: 'netd',
    };
    expect(readRelayedCall(headers, body('{}'))).toEqual({
      env: { CNI_COMMAND: 'ADD', CNI_ARGS: 'IgnoreUnknown=1;IP=10.64.0.7', CNI_NETNS: '' },
      stdin: '{}',
      netns: null,
    });
  });

  it('takes the handle of the namespace', () => {
    expect(readRelayedCall({ 'cni-netns-fd': '4711:3' }, body('')).netns).toEqual({ pid: 4711, fd: 3 });
  });

  it.each(['', '4711', '0:3', '-1:3', '1:2:3', '1:x', 'self:3', '../1:3'])(
    'refuses the handle %j',
    (handle) => {
      expect(code({ 'cni-netns-fd': handle }, body(''))).toBe('invalid_environment');
    },
  );

  it('refuses what is not UTF-8', () => {
    expect(code({ 'cni-args': '%FF%FE' }, body(''))).toBe('invalid_environment');
    expect(code({ 'cni-args': '%' }, body(''))).toBe('invalid_environment');
    expect(code({}, Uint8Array.of(0x7b, 0xff, 0x7d))).toBe('invalid_json');
  });
});
