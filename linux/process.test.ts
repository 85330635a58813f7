import { isAlive, run, runOk, startDaemon } from './process.ts';

const shell = (script: string): ['sh', '-c', string] => ['sh', '-c', script];

describe('run', () => {
  it('gives input, and takes output and exit code apart', async () => {
    const outcome = await run(shell('cat; echo oops >&2; exit 3'), { stdin: 'hello' });
    expect(outcome).toEqual({ code: 3, stdout: 'hello', stderr: 'oops\n' });
  });

  it('has no shell between: an argument stays one argument', async () => {
    expect(await runOk(['printf', '%s', '$(id); a "b"'])).toBe('$(id); a "b"');
  });

  it('reports a signal as shells do', async () => {
    expect(await run(shell('kill -9 $$'))).toMatchObject({ code: 137 });
  });

  it.each([
    ['takes too long', ['sleep', '60'], { timeoutMs: 50 }, 'did not end within 50 ms'],
    ['prints too much', ['yes'], { limitBytes: 1_000 }, 'printed too much'],
    ['is not there', ['/nowhere'], {}, 'cannot be started'],
  ] as const)('refuses a program that %s', async (_, argv, options, message) => {
    await expect(run([...argv], options)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining(message),
    });
  });

  it('ends the program when the signal fires', async () => {
    const stop = new AbortController();
    const running = run(['sleep', '60'], { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
  });
});

describe('runOk', () => {
  it('says why a program failed', async () => {
    await expect(runOk(shell('echo broken >&2; exit 1'))).rejects.toThrow('exited with 1: broken');
  });
});

describe('a daemon', () => {
  it('is ended by SIGTERM', async () => {
    const daemon = await startDaemon(['sleep', '60']);
    expect(isAlive(daemon.id)).toBe(true);
    await daemon.stop();
    expect(isAlive(daemon.id)).toBe(false);
    expect(await daemon.exited).toBe(143);
  });

  it('is ended by SIGKILL when it does not listen', async () => {
    const daemon = await startDaemon(shell('trap "" TERM; while :; do sleep 1; done'));
    await daemon.stop(100);
    expect([137, 143]).toContain(await daemon.exited);
  });

  it('is not mistaken for another process that got its number', () => {
    expect(isAlive({ pid: process.pid, startedAt: 1 })).toBe(false);
  });
});
