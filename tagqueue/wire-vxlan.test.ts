import { readFileSync } from 'node:fs';
import type { Ipv4 } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { tokenInput } from './token.ts';
import {
  decodeTunnel,
  enterTunnel,
  leaveTunnel,
  type TunnelEnds,
  type TunnelReceiver,
} from './wire-vxlan.ts';

interface Vector {
  name: string;
  key: string;
  epoch: number;
  source: string;
  destination: string;
  protocol: number;
  tenant: number;
  node: string;
  peer: string;
  sourcePort: number;
  port: number;
  macInput: string;
  mac: string;
  plain: string;
  tunnelled: string;
}
const { tunnels }: { tunnels: Vector[] } = JSON.parse(
  readFileSync(new URL('wire.vectors.json', import.meta.url), 'utf8'),
);

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const endsOf = ({ node, peer, sourcePort, port }: Vector): TunnelEnds => ({
  ...{ source: node as Ipv4, destination: peer as Ipv4, sourcePort, port },
});
const receiverOf = (vector: Vector, given: Partial<TunnelReceiver> = {}): TunnelReceiver => ({
  port: vector.port,
  keys: new Map([[vector.epoch as KeyEpoch, hex(vector.key)]]),
  nodeOf: (address): Ipv4 | undefined => (address === vector.source ? (vector.node as Ipv4) : undefined),
  isOwn: (address) => address === vector.destination,
  ...given,
});

describe('the tunnel codec, by the published vectors', () => {
  it.each(tunnels)('makes: $name', (vector) => {
    const key = { epoch: vector.epoch as KeyEpoch, secret: hex(vector.key) };
    const packet = enterTunnel(hex(vector.plain), endsOf(vector), vector.tenant as TenantTag, key);
    expect(packet.toString('hex')).toBe(vector.tunnelled);
  });

  it.each(tunnels)('signs as published: $name', (vector) => {
    const flow = {
      source: vector.source as Ipv4,
      destination: vector.destination as Ipv4,
      protocol: vector.protocol,
    };
    const packet = decodeTunnel(hex(vector.tunnelled), vector.port);
    if (typeof packet === 'string') throw new Error(packet);
    expect(tokenInput(flow, packet.tag, 'vxlan').toString('hex')).toBe(vector.macInput);
    expect(packet.tag.mac.toString('hex')).toBe(vector.mac);
  });

  it.each(tunnels)('believes: $name', (vector) => {
    expect(leaveTunnel(hex(vector.tunnelled), receiverOf(vector))).toEqual({
      tenant: vector.tenant,
      inner: hex(vector.plain),
    });
  });

  it.each([
    ['foreign_source', { nodeOf: (): undefined => undefined }],
    ['tunnel_peer', { nodeOf: (): Ipv4 => '192.0.2.66' as Ipv4 }],
    ['tunnel_destination', { isOwn: () => false }],
    ['tag_epoch', { keys: new Map() }],
  ] as const)('says %s', (fault, given) => {
    const [vector] = tunnels;
    expect(leaveTunnel(hex(vector!.tunnelled), receiverOf(vector!, given))).toBe(fault);
  });
});
