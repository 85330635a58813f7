import { SluiceError } from '../model/errors.ts';
import { type Streams, show, showError, table } from './output.ts';

function recorder(): Streams & { stdout: string; stderr: string } {
  const streams = {
    stdout: '',
    stderr: '',
    out: (text: string) => {
      streams.stdout += text;
    },
    err: (text: string) => {
      streams.stderr += text;
    },
  };
  return streams;
}

describe('show', () => {
  it('prints one JSON document with --json and text without', () => {
    const streams = recorder();
    show(true, { a: 1 }, () => 'text', streams);
    show(false, { a: 1 }, () => 'text', streams);
    expect(streams.stdout).toBe('{"a":1}\ntext\n');
  });
});

describe('showError', () => {
  const error = new SluiceError('not_found', 'there is no tenant x', 'make it');

  it('says on stderr what happened and what to do, and exits with the code of the error', () => {
    const streams = recorder();
    expect(showError(error, false, streams)).toBe(4);
    expect(streams).toMatchObject({ stdout: '', stderr: 'sluice: there is no tenant x\n  → make it\n' });
  });

  it('prints the problem document on stdout with --json, and nothing else', () => {
    const streams = recorder();
    expect(showError(error, true, streams)).toBe(4);
    expect(JSON.parse(streams.stdout)).toMatchObject({ status: 404, code: 'not_found', hint: 'make it' });
    expect(streams.stderr).toBe('');
  });

  it('takes what nobody foresaw for a defect', () => {
    const streams = recorder();
    expect(showError(new TypeError('oops'), false, streams)).toBe(1);
    expect(streams.stderr).toContain('defect');
  });
});

describe('table', () => {
  it('makes columns as wide as their longest cell and leaves no blanks at the end', () => {
    expect(
      table(
        ['a', 'b'],
        [
          ['1', '2'],
          ['333', ''],
        ],
        '-',
      ),
    ).toBe('A    B\n1    2\n333');
  });

  it('says so when there are no rows', () => {
    expect(table(['a'], [], 'none')).toBe('none');
  });
});
