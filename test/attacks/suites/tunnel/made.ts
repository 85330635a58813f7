/** What the attacks on the tunnel are made from: a genuine packet, and ways to spoil it. */
import type { Ipv4 } from '../../../../model/addresses.ts';
import { MORE_FRAGMENTS, udp } from '../../../frames.ts';
import { changed, range } from '../../traffic.ts';
import { AT, type TunnelFields, tunnelled, withRightSum } from '../../tunnel-frames.ts';
import type { World } from '../../world.ts';

export const ip = (text: string): Ipv4 => text as Ipv4;
export const stranger = ({ stranger }: World): World['stranger'] => stranger;
export const PAYLOAD = udp(4000, 5000, Buffer.alloc(120));
export const PATIENCE_MS = 5_000;

/** From blue's far container to its near one, as its node would send it, but for what is given. */
export function genuine(all: World, fields: TunnelFields = {}): Buffer {
  const { blue, tags } = all;
  const given = { payload: PAYLOAD, ...fields, tag: { tenant: tags.blue, ...fields.tag } };
  return tunnelled(all, blue.b1.internal, blue.a1.internal, given);
}

export const bitsOf = (bytes: readonly number[]): { at: number; bit: number }[] =>
  bytes.flatMap((at) => range(8, (bit) => ({ at, bit: 1 << bit })));
export const flipped = (bytes: Buffer, { at, bit }: { at: number; bit: number }): Buffer =>
  changed(bytes, at, bytes[at]! ^ bit);
export const from = (first: number, end: number): number[] => range(end - first, (i) => first + i);

/** The tunnel's packet as fragments. @param cut  where each but the first begins, in bytes of outer payload */
export function fragmentsOf(whole: Buffer, cut: readonly number[]): Buffer[] {
  const body = whole.subarray(AT.udp);
  const ends = [...cut, body.length];
  return [0, ...cut].map((start, i) => {
    const piece = Buffer.concat([whole.subarray(0, AT.udp), body.subarray(start, ends[i])]);
    piece.writeUInt16BE(piece.length - AT.outer, AT.outer + 2);
    piece.writeUInt16BE((i < cut.length ? MORE_FRAGMENTS : 0) | (start / 8), AT.outer + 6);
    return withRightSum(piece);
  });
}
