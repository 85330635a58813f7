import { readFileSync } from 'node:fs';
import type { Ipv4 } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { tokenInput } from './token.ts';
import { enterTunnel6, flowOf6, tagPacket6, untagPacket6 } from './wire6.ts';

interface Vector {
  name: string;
  key: string;
  epoch: number;
  source: string;
  destination: string;
  nextHeader: number;
  tenant: number;
  macInput: string;
  mac: string;
  plain: string;
  tagged: string;
  node: string;
  peer: string;
  sourcePort: number;
  port: number;
  tunnelMacInput: string;
  tunnelMac: string;
  tunnelled: string;
}
const {
  believed,
  refused,
}: {
  believed: Vector[];
  refused: { of: string; packets: { name: string; packet: string; fault: string }[] };
} = JSON.parse(readFileSync(new URL('wire.vectors.json', import.meta.url), 'utf8')).ipv6;

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const keyOf = ({ epoch, key }: Vector): { epoch: KeyEpoch; secret: Buffer } => ({
  epoch: epoch as KeyEpoch,
  secret: hex(key),
});
const keysOf = ({ epoch, key }: Vector): Map<KeyEpoch, Uint8Array> =>
  new Map([[epoch as KeyEpoch, hex(key)]]);

describe('the codec for IPv6, by the published vectors', () => {
  it.each(believed)('reads the flow of: $name', ({ plain, source, destination, nextHeader }) => {
    expect(flowOf6(hex(plain))).toEqual({ source, destination, protocol: nextHeader });
  });

  it.each(believed)('signs as published, each carrier for itself: $name', (vector) => {
    const unsigned = {
      ...{ version: 1, epoch: vector.epoch as KeyEpoch, tenant: vector.tenant as TenantTag },
    };
    const flow = flowOf6(hex(vector.plain));
    expect(tokenInput(flow, unsigned, 'option6').toString('hex')).toBe(vector.macInput);
    expect(tokenInput(flow, unsigned, 'vxlan6').toString('hex')).toBe(vector.tunnelMacInput);
  });

  it.each(believed)('tags: $name', (vector) => {
    const tagged = tagPacket6(hex(vector.plain), vector.tenant as TenantTag, keyOf(vector));
    expect(tagged.toString('hex')).toBe(vector.tagged);
  });

  it.each(believed)('believes: $name', (vector) => {
    expect(untagPacket6(hex(vector.tagged), keysOf(vector))).toEqual({
      tenant: vector.tenant,
      packet: hex(vector.plain),
    });
  });

  it.each(believed)('puts into the tunnel: $name', (vector) => {
    const ends = { source: vector.node as Ipv4, destination: vector.peer as Ipv4 };
    const { sourcePort, port } = vector;
    const packet = enterTunnel6(
      hex(vector.plain),
      { ...ends, sourcePort, port },
      vector.tenant as TenantTag,
      keyOf(vector),
    );
    expect(packet.toString('hex')).toBe(vector.tunnelled);
  });

  it.each(refused.packets)('does not believe: $name', ({ packet, fault }) => {
    const genuine = believed.find(({ name }) => name === refused.of)!;
    expect(untagPacket6(hex(packet), keysOf(genuine))).toBe(fault);
  });
});
