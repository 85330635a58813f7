import type { ClusterKeys, KeyBits } from '../../model/keys.ts';
import type { KeyEpoch } from '../../model/names.ts';
import { CERTAINLY_HEARD_MS, createKeyMemory } from './keys.ts';

const key = (epoch: number): ClusterKeys['keys'][number] => ({
  epoch: epoch as KeyEpoch,
  key: epoch.toString(16).padStart(32, '0') as KeyBits,
});
const keys = (current: number, ...epochs: number[]): ClusterKeys => ({
  current: current as KeyEpoch,
  keys: epochs.map(key),
});

describe('the keys of probes', () => {
  it('are the current one and, a while after it was withdrawn, the one before', () => {
    const memory = createKeyMemory();
    expect(memory.at(0)).toBeUndefined();
    memory.learn(keys(1, 1), 0);
    memory.learn(keys(2, 1, 2), 1_000);
    expect(memory.at(100_000)).toMatchObject({ current: { epoch: 2 }, expired: undefined });
    memory.learn(keys(2, 2), 200_000);
    expect(memory.at(200_000 + CERTAINLY_HEARD_MS - 1)?.expired).toBeUndefined();
    expect(memory.at(200_000 + CERTAINLY_HEARD_MS)).toEqual({
      current: { epoch: 2, secret: Buffer.from(key(2).key, 'hex') },
      expired: { epoch: 1, secret: Buffer.from(key(1).key, 'hex') },
      known: new Set([1, 2]),
    });
  });

  it('are told apart by the key and not by its epoch, which comes round', () => {
    const memory = createKeyMemory();
    memory.learn(keys(1, 1), 0);
    memory.learn({ ...keys(1, 1), keys: [{ ...key(9), epoch: 1 as KeyEpoch }] }, 0);
    expect(memory.at(CERTAINLY_HEARD_MS)?.expired?.secret).toEqual(Buffer.from(key(1).key, 'hex'));
  });
});
