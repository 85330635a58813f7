import { createKeyedLock } from './keyed-lock.ts';

/** A task that ends when told to. */
function aTask(log: string[], name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const run = async (): Promise<string> => {
    log.push(`${name} begins`);
    await promise;
    log.push(`${name} ends`);
    return name;
  };
  return { run, resolve, reject };
}

describe('a keyed lock', () => {
  it('runs tasks of one key one after the other, in order', async () => {
    const lock = createKeyedLock();
    const log: string[] = [];
    const [first, second] = [aTask(log, 'first'), aTask(log, 'second')];
    const both = Promise.all([lock('c', first.run), lock('c', second.run)]);
    second.resolve();
    first.resolve();
    expect(await both).toEqual(['first', 'second']);
    expect(log).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  });

  it('does not let tasks of other keys wait', async () => {
    const lock = createKeyedLock();
    const log: string[] = [];
    const [slow, quick] = [aTask(log, 'slow'), aTask(log, 'quick')];
    const held = lock('a', slow.run);
    quick.resolve();
    expect(await lock('b', quick.run)).toBe('quick');
    slow.resolve();
    await held;
  });

  it('goes on after a task that failed', async () => {
    const lock = createKeyedLock();
    const log: string[] = [];
    const [bad, good] = [aTask(log, 'bad'), aTask(log, 'good')];
    const failing = lock('c', bad.run);
    const following = lock('c', good.run);
    bad.reject(new Error('no'));
    good.resolve();
    await expect(failing).rejects.toThrow('no');
    expect(await following).toBe('good');
  });
});
