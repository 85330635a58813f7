/** What a guest prints, cut in any way, comes back as it was. */
import { PassThrough } from 'node:stream';
import { converse } from './conversation.ts';

/** Plays agent.sh: answers the next command. */
function setUp() {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const sent: string[] = [];
  const port = Object.assign(new PassThrough(), { write: (text: string) => sent.push(text) > 0 });
  const conversation = converse({ commands: port, stdout, stderr });
  const last = (): { token: string; command: string } => {
    const [token = '', encoded = ''] = sent.at(-1)!.trim().split(' ');
    return { token, command: Buffer.from(encoded, 'base64').toString() };
  };
  return { conversation, port, stdout, stderr, last };
}

describe('the conversation with a guest', () => {
  it('quotes every word for the shell', () => {
    const { conversation, last } = setUp();
    void conversation.run(['echo', "it's", 'a b', '$HOME\n']);
    expect(last().command).toBe(`'echo' 'it'\\''s' 'a b' '$HOME\n'`);
  });

  it('gives back what was printed, whether a line ends it or not, and the code', async () => {
    const { conversation, stdout, stderr, last } = setUp();
    const lines: string[] = [];
    const outcome = conversation.run(['any'], (line, stream) => lines.push(`${stream}: ${line}`));
    for (const chunk of ['on', 'e\ntw', `o${last().token} 7\n`]) stdout.write(chunk);
    stderr.write(`${last().token} 7\n`);
    expect(await outcome).toEqual({ code: 7, stdout: 'one\ntwo', stderr: '' });
    expect(lines).toEqual(['stdout: one', 'stdout: two']);
  });

  it('keeps what one command printed apart from the next', async () => {
    const { conversation, stdout, stderr, last } = setUp();
    for (const text of ['first\n', 'second\n']) {
      const outcome = conversation.run(['any']);
      stdout.write(`${text}${last().token} 0\n`);
      stderr.write(`${last().token} 0\n`);
      expect(await outcome).toEqual({ code: 0, stdout: text, stderr: '' });
    }
  });

  it('says so when the guest ends in the middle of a command, or before it is ready', async () => {
    const { conversation, port, stdout, stderr } = setUp();
    const outcome = conversation.run(['any']);
    const ready = conversation.ready();
    for (const one of [port, stdout, stderr]) one.end();
    await expect(outcome).rejects.toMatchObject({ code: 'unreachable' });
    await expect(ready).rejects.toMatchObject({ code: 'unreachable' });
  });
});
