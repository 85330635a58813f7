/** First bytes of flows, made by hand: ClientHellos, records, QUIC's first packets, DNS questions. */
import { createCipheriv, createHmac } from 'node:crypto';

export interface HelloFields {
  /** In the server name extension; default: no such extension. */
  readonly name?: string;
  readonly extensions?: readonly { readonly type: number; readonly data: Buffer }[];
}

const counted = (size: 1 | 2 | 3, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(body.length, 0, size);
  return Buffer.concat([length, body]);
};
const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

/** A handshake message (RFC 8446 section 4.1.2). */
export function clientHello({ name, extensions = [] }: HelloFields): Buffer {
  const named =
    name === undefined
      ? []
      : [{ type: 0, data: counted(2, Buffer.from([0]), counted(2, Buffer.from(name))) }];
  const body = [
    uint16(0x0303),
    Buffer.alloc(32, 0x5a),
    counted(1, Buffer.alloc(32, 0xa5)),
    counted(2, uint16(0x1301), uint16(0x0a0a)),
    counted(1, Buffer.from([0])),
    counted(
      2,
      ...[...named, ...extensions].map(({ type, data }) => Buffer.concat([uint16(type), counted(2, data)])),
    ),
  ];
  return Buffer.concat([Buffer.from([1]), counted(3, ...body)]);
}

/** @param size  bytes of each record at most */
export function tlsRecords(handshake: Buffer, size = 16_384): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += size)
    records.push(Buffer.from([22, 3, 1]), counted(2, handshake.subarray(at, at + size)));
  return Buffer.concat(records);
}

export function dnsQuestion(name: string): Buffer {
  const labels = name.split('.').map((label) => counted(1, Buffer.from(label)));
  const header = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

export interface InitialFields {
  readonly version?: 1 | 2;
  readonly destinationId?: Buffer;
  readonly number?: number;
  /** Frames, not yet padded. */
  readonly frames: Buffer;
}

const varint = (value: number): Buffer => uint16(0x4000 | value);

export function cryptoFrame(at: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([6]), varint(at), varint(data.length), data]);
}

const QUIC = {
  1: { id: 0x0000_0001, salt: '38762cf7f55934b34d179ae6a4c80cadccbb7f0a', labels: 'quic', first: 0xc3 },
  2: { id: 0x6b33_43cf, salt: '0dede3def700a6db819381be6e269dcbf9bd2ed9', labels: 'quicv2', first: 0xd3 },
} as const;

/** One protected Initial packet, padded to a datagram of 1200 bytes (RFC 9001 section 5). */
export function quicInitial({
  version = 1,
  destinationId = Buffer.from('8394c8f03e515708', 'hex'),
  number = 0,
  frames,
}: InitialFields): Buffer {
  const { id, salt, labels, first } = QUIC[version];
  const versionBytes = Buffer.alloc(4);
  versionBytes.writeUInt32BE(id);
  const front = Buffer.concat([
    Buffer.from([first]),
    versionBytes,
    counted(1, destinationId),
    Buffer.from([0, 0]),
  ]);
  const length = 1_200 - front.length - 2;
  const packetNumber = Buffer.alloc(4);
  packetNumber.writeUInt32BE(number);
  const header = Buffer.concat([front, varint(length), packetNumber]);
  const plain = Buffer.concat([frames, Buffer.alloc(length - 4 - 16 - frames.length)]);

  const hmac = (key: Buffer, data: Buffer): Buffer => createHmac('sha256', key).update(data).digest();
  const expand = (secret: Buffer, label: string, bytes: number): Buffer => {
    const info = [Buffer.from([0, bytes]), counted(1, Buffer.from(`tls13 ${label}`)), Buffer.from([0, 1])];
    return hmac(secret, Buffer.concat(info)).subarray(0, bytes);
  };
  const secret = expand(hmac(Buffer.from(salt, 'hex'), destinationId), 'client in', 32);
  const nonce = expand(secret, `${labels} iv`, 12);
  for (let i = 0; i < 4; i++) nonce[8 + i]! ^= packetNumber[i]!;
  const cipher = createCipheriv('aes-128-gcm', expand(secret, `${labels} key`, 16), nonce);
  cipher.setAAD(header);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);

  const hp = createCipheriv('aes-128-ecb', expand(secret, `${labels} hp`, 16), null);
  const mask = hp.update(sealed.subarray(0, 16));
  header[0]! ^= mask[0]! & 0x0f;
  for (let i = 0; i < 4; i++) header[header.length - 4 + i]! ^= mask[1 + i]!;
  return Buffer.concat([header, sealed]);
}
