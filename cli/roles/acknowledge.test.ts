import { SluiceError } from '../../model/errors.ts';
import type { HeldKeys } from '../../model/keys.ts';
import { silentLog } from '../../model/log.ts';
import type { KeyEpoch, NodeName } from '../../model/names.ts';
import { acknowledger } from './acknowledge.ts';

const held = (epoch: number): HeldKeys => ({ accepts: [epoch as KeyEpoch], sends: epoch as KeyEpoch });

/** A server that answers when the test lets it. */
function scriptedServer(): {
  readonly asked: unknown[];
  answer(error?: SluiceError): void;
  request(method: string, path: string, body?: unknown): Promise<unknown>;
  arrived(count: number): Promise<void>;
} {
  const asked: unknown[] = [];
  let pending = Promise.withResolvers<unknown>();
  let arrival = Promise.withResolvers<void>();
  return {
    asked,
    answer: (error) => {
      const { resolve, reject } = pending;
      pending = Promise.withResolvers();
      if (error === undefined) resolve(undefined);
      else reject(error);
    },
    request: (method, path, body) => {
      asked.push([method, path, body]);
      arrival.resolve();
      arrival = Promise.withResolvers();
      return pending.promise;
    },
    arrived: async (count) => {
      while (asked.length < count) await arrival.promise;
    },
  };
}

const word = (epoch: number): unknown => ['PUT', '/v1/nodes/a/keys', held(epoch)];

describe('telling the server which keys the plane has', () => {
  let stop: AbortController;
  beforeEach(() => {
    stop = new AbortController();
  });
  afterEach(() => stop.abort());

  it('tells one thing at a time, and of what piles up the newest', async () => {
    const server = scriptedServer();
    const tell = acknowledger(server, 'a' as NodeName, stop.signal, silentLog);
    for (const epoch of [1, 2, 3]) tell(held(epoch));
    server.answer();
    await server.arrived(2);
    expect(server.asked).toEqual([word(1), word(3)]);
    server.answer();
  });

  it('tries again when the server is away, and not when it refuses', async () => {
    const server = scriptedServer();
    const tell = acknowledger(server, 'a' as NodeName, stop.signal, silentLog);
    tell(held(1));
    server.answer(new SluiceError('unreachable', 'away', ''));
    await server.arrived(2);
    expect(server.asked).toEqual([word(1), word(1)]);
    server.answer(new SluiceError('refused', 'fenced', ''));
    await new Promise(setImmediate);
    tell(held(2));
    await server.arrived(3);
    expect(server.asked[2]).toEqual(word(2));
    server.answer();
  });
});
