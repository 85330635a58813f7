import fc from 'fast-check';
import { readableLine } from './log-lines.ts';

const line = (fields: object): string =>
  JSON.stringify({ level: 30, time: 0, role: 'netd', msg: 'hello', ...fields });

describe('readableLine', () => {
  it('shows time, daemon, message and details', () => {
    expect(readableLine(line({ node: 'a', reason: 'no word' }), false)).toBe(
      '00:00:00.000 netd     hello node=a reason="no word"',
    );
  });

  it('marks errors, in red on a terminal', () => {
    expect(readableLine(line({ level: 50 }), false)).toContain('error: hello');
    expect(readableLine(line({ level: 50 }), true)).toContain('\u001b[31merror: hello\u001b[0m');
  });

  it('shows the stack of an error', () => {
    expect(readableLine(line({ err: { message: 'm', stack: 'Error: m\n at x' } }), false)).toContain(
      'Error: m\\n at x',
    );
  });

  it('passes on what is no log line of ours, whatever it is', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(typeof readableLine(text, false)).toBe('string')));
    for (const text of ['', '{', 'Segmentation fault', '{"a":1}'])
      expect(readableLine(text, true)).toBe(text);
  });
});
