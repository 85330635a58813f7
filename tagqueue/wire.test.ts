import { readFileSync } from 'node:fs';
import type { Ipv4 } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { decodeTag, encodeTag, type Flow, macInput, type TagKey, verifyTag } from './wire.ts';

interface Vector {
  name: string;
  key: string;
  epoch: number;
  source: string;
  destination: string;
  protocol: number;
  tenant: number;
  macInput: string;
  mac: string;
  option: string;
}

const vectors: {
  believed: Vector[];
  refused: { of: string; options: { name: string; option: string; fault: string }[] };
} = JSON.parse(readFileSync(new URL('wire.vectors.json', import.meta.url), 'utf8'));

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const flowOf = (vector: Vector): Flow => ({
  source: vector.source as Ipv4,
  destination: vector.destination as Ipv4,
  protocol: vector.protocol,
});
const keyOf = (vector: Vector): TagKey => ({ epoch: vector.epoch as KeyEpoch, secret: hex(vector.key) });
const keysOf = (vector: Vector): Map<KeyEpoch, Uint8Array> =>
  new Map([[vector.epoch as KeyEpoch, hex(vector.key)]]);

describe('the tag codec, by the published vectors', () => {
  it.each(vectors.believed)('makes the tag of: $name', (vector) => {
    const option = encodeTag(flowOf(vector), vector.tenant as TenantTag, keyOf(vector));
    expect(option.toString('hex')).toBe(vector.option);
    expect(macInput(flowOf(vector), option).toString('hex')).toBe(vector.macInput);
  });

  it.each(vectors.believed)('believes the tag of: $name', (vector) => {
    expect(verifyTag(flowOf(vector), hex(vector.option), keysOf(vector))).toEqual({
      version: 1,
      epoch: vector.epoch,
      tenant: vector.tenant,
      mac: hex(vector.mac),
    });
  });

  it.each(vectors.refused.options)('does not believe: $name', ({ option, fault }) => {
    const genuine = vectors.believed.find(({ name }) => name === vectors.refused.of)!;
    expect(verifyTag(flowOf(genuine), hex(option), keysOf(genuine))).toBe(fault);
  });

  it('takes a tag apart without any key', () => {
    const [first] = vectors.believed;
    expect(decodeTag(hex(first!.option))).toMatchObject({ epoch: first!.epoch, tenant: first!.tenant });
  });
});
