import { randomBytes } from 'node:crypto';
import type { KeyGeneration } from '../../model/keys.ts';
import { deriveKey, type MasterKey, newMasterKey } from './derive-key.ts';

const MASTER: MasterKey = {
  cluster: '0123456789abcdef',
  master: '00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f',
};
const of = (master: MasterKey, generation: number): string =>
  deriveKey(master, generation as KeyGeneration).key;

describe('the key of a generation', () => {
  // openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt hexkey:MASTER
  //   -kdfopt info:'sluice tag key, cluster 0123456789abcdef, generation N' HKDF (OpenSSL 3.0)
  it.each([
    [1, 1, '466f395fd0ed5a81cba8d3e27f07caca'],
    [256, 0, 'c084455ed509092817949865e27c03cb'],
    [4_294_967_297, 1, 'd0fd4890f280988af7106fc85904bb2d'],
  ])('%i is what another implementation derives', (generation, epoch, key) => {
    expect(deriveKey(MASTER, generation as KeyGeneration)).toEqual({ epoch, key });
  });

  it('differs by generation, cluster and master, also where the epoch is the same', () => {
    const keys = [
      of(MASTER, 1),
      of(MASTER, 257),
      of({ ...MASTER, cluster: 'fedcba9876543210' }, 1),
      of(newMasterKey(randomBytes), 1),
      of(newMasterKey(randomBytes), 1),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});
