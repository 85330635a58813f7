import { describe, expect, it } from '@jest/globals';
import type { Outcome } from '../../linux/process.ts';
import { glusterCommand } from './command.ts';

const said = (opRet: number, words: string): Outcome => ({
  code: 0,
  stdout: `<cliOutput><opRet>${opRet}</opRet><opErrno>0</opErrno><opErrstr>${words}</opErrstr></cliOutput>`,
  stderr: '',
});
const FINE = said(0, '');
const BUSY = said(-1, 'Another transaction is in progress for v1. Please try again after some time.');

/** A Gluster that answers from a list, and remembers what it was asked. */
function world(answers: Outcome[]) {
  const asked: string[][] = [];
  const waited: number[] = [];
  let running = 0;
  let most = 0;
  const command = glusterCommand({
    inside: (argv) => ['inside', ...argv],
    run: async (argv) => {
      asked.push([...argv]);
      running++;
      most = Math.max(most, running);
      await Promise.resolve();
      running--;
      return answers.shift() ?? FINE;
    },
    pause: async (ms) => waited.push(ms),
  });
  return { command, asked, waited, most: () => most };
}

describe('glusterCommand', () => {
  it('runs gluster in its namespaces, for scripts and with XML', async () => {
    const { command, asked } = world([]);
    await command(['peer', 'status']);
    expect(asked).toEqual([
      ['inside', 'gluster', '--mode=script', '--xml', '--log-file=/dev/null', 'peer', 'status'],
    ]);
  });

  it('runs one at a time, also after one has failed', async () => {
    const { command, most } = world([FINE, said(-1, 'no'), FINE]);
    const results = await Promise.allSettled(['a', 'b', 'c'].map((one) => command([one])));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(most()).toBe(1);
  });

  it('tries again while another transaction runs, longer and longer', async () => {
    const { command, asked, waited } = world([
      BUSY,
      said(-1, 'Locking failed on 192.0.2.2. Please check log file.'),
      BUSY,
      FINE,
    ]);
    await command(['volume', 'start', 'v1']);
    expect(asked).toHaveLength(4);
    expect(waited).toEqual([50, 100, 200]);
  });

  it('gives up some time, and says what to do', async () => {
    const { command, asked } = world(Array.from({ length: 100 }, () => BUSY));
    await expect(command(['x'])).rejects.toMatchObject({
      code: 'try_again',
      message: expect.stringContaining('Another transaction'),
    });
    expect(asked.length).toBeLessThan(20);
  });

  it('does not repeat what may have been done', async () => {
    const { command, asked } = world([{ code: 1, stdout: 'Error : Request timed out\n', stderr: '' }]);
    await expect(command(['x'])).rejects.toMatchObject({ code: 'try_again' });
    expect(asked).toHaveLength(1);
  });
});
