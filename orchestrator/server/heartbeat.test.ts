import { withHeartbeat } from './heartbeat.ts';

describe('a heartbeat', () => {
  it('fills silence, and loses and delays no item', async () => {
    let send = (_item: number): void => {};
    async function* items(): AsyncGenerator<number> {
      yield 1;
      yield 2;
      yield await new Promise<number>((resolve) => {
        send = resolve;
      });
    }
    const seen: (number | 'beat')[] = [];
    for await (const item of withHeartbeat(items(), 1, () => 'beat' as const)) {
      seen.push(item);
      if (seen.filter((one) => one === 'beat').length === 3) send(3);
    }
    expect(seen.slice(0, 2)).toEqual([1, 2]);
    expect(seen.filter((one) => one === 'beat').length).toBeGreaterThanOrEqual(3);
    expect(seen.at(-1)).toBe(3);
  });

  it('passes on an error, and ends its source when the reader leaves', async () => {
    let ended = false;
    async function* items(): AsyncGenerator<number> {
      try {
        yield 1;
        throw new Error('broken');
      } finally {
        ended = true;
      }
    }
    const read = async (howMany: number): Promise<void> => {
      let left = howMany;
      for await (const _ of withHeartbeat(items(), 10_000, () => 'beat')) if (--left === 0) break;
    };
    await expect(read(2)).rejects.toThrow('broken');
    ended = false;
    await read(1);
    await new Promise(setImmediate);
    expect(ended).toBe(true);
  });
});
