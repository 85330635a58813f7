/** What nodes send each other to prove the fence: right packets and wrong ones, which name themselves (docs/probes.md). */
import type { Carrier } from './carrier.ts';
import type { TenantTag } from './names.ts';

/** UDP, on the first address of a node's internal block. netd lets nothing else in there. */
export const FENCE_PROBE_PORT = 7_071;

/** Bears the tag of a tenant that no node has. */
export const STRANGER_TAG = 0xff_ff_fe as TenantTag;

/** Only the first may arrive. The numbers are those on the wire. */
export const PROBE_KINDS = {
  valid: 1,
  'wrong-tenant': 2,
  forged: 3,
  expired: 4,
  'unknown-epoch': 5,
  untagged: 6,
} as const;
export type ProbeKind = keyof typeof PROBE_KINDS;
export const FORBIDDEN_KINDS = (Object.keys(PROBE_KINDS) as ProbeKind[]).filter((kind) => kind !== 'valid');

/** `echo`: the answer of a node that a probe has reached, whatever its kind. */
export interface FenceProbe {
  readonly type: 'probe' | 'echo';
  readonly kind: ProbeKind;
  /** 16 random bytes in hex: what was sent in an earlier round is known by it. */
  readonly id: string;
  /** When it arrived, in ns on the clock of the node it reached; 0 in a probe. */
  readonly receivedAt: bigint;
  /** The carrier that the answer is to come by, to try that way too; undefined: as the node sends everything. */
  readonly answerBy?: Carrier;
}

const MAGIC = Buffer.from('SLUICEP1');
const TYPES = { probe: 1, echo: 2 } as const;
const ANSWER_BY = { option: 1, vxlan: 2 } as const satisfies Record<Carrier, number>;
const AT = { type: 8, kind: 9, answerBy: 10, id: 16, receivedAt: 32 } as const;
export const PROBE_BYTES = 40;

/** @param bytes  of the whole message; longer than PROBE_BYTES to fill a packet */
export function encodeProbe(probe: FenceProbe, bytes = PROBE_BYTES): Buffer {
  const { type, kind, id, receivedAt, answerBy } = probe;
  const out = Buffer.alloc(bytes);
  out.set(MAGIC);
  out.writeUInt8(TYPES[type], AT.type);
  out.writeUInt8(PROBE_KINDS[kind], AT.kind);
  out.writeUInt8(answerBy === undefined ? 0 : ANSWER_BY[answerBy], AT.answerBy);
  out.set(Buffer.from(id, 'hex'), AT.id);
  out.writeBigUInt64BE(receivedAt, AT.receivedAt);
  return out;
}

/** @returns undefined for what is no probe of this version */
export function decodeProbe(data: Buffer): FenceProbe | undefined {
  if (data.length < PROBE_BYTES || !data.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const type = (['probe', 'echo'] as const).find((one) => TYPES[one] === data[AT.type]);
  const kind = (Object.keys(PROBE_KINDS) as ProbeKind[]).find((one) => PROBE_KINDS[one] === data[AT.kind]);
  if (type === undefined || kind === undefined) return undefined;
  const answerBy = (['option', 'vxlan'] as const).find((one) => ANSWER_BY[one] === data[AT.answerBy]);
  const id = data.toString('hex', AT.id, AT.id + 16);
  const receivedAt = data.readBigUInt64BE(AT.receivedAt);
  return { type, kind, id, receivedAt, ...(answerBy && { answerBy }) };
}
