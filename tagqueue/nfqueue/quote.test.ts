/** ICMP errors of routers between the nodes, judged by the codec: packet by packet what a container gets to hear. */
import { internetChecksum } from '../../linux/frames.ts';
import type { KeyBits } from '../../model/keys.ts';
import { indexOfMark } from '../../model/mark.ts';
import type { TenantTag } from '../../model/names.ts';
import {
  CONF,
  FOREIGN_MARK,
  INTERNET,
  ip,
  KEYS,
  MARK,
  MARK_MASK,
  NEIGHBOUR,
  OTHER_MARK,
  OWN,
  PEER_BLOCK,
  routerError,
  TENANT,
  tagged,
  toRemote,
} from '../../test/fence/world.ts';
import { udp } from '../../test/frames.ts';
import { type DropReason, numberOfReason } from '../reasons.ts';
import { ALLOWED, judgeIn, type Passage } from './codec.ts';
import { tablesOf } from './tables.ts';

const TABLES = tablesOf({
  ...{ internalPool: CONF.internalPool, ownBlock: CONF.ownBlock, markMask: MARK_MASK },
  keys: {
    current: CONF.epoch,
    keys: [...KEYS].map(([epoch, key]) => ({ epoch, key: key.toString('hex') as KeyBits })),
  },
  tenants: [[indexOfMark(MARK, MARK_MASK), TENANT]],
  peerBlocks: [PEER_BLOCK],
});
const HEADROOM = 32;
const ETHERNET = 14;
const RECORD_ROUTE = Buffer.from('070b04000000000000000000', 'hex');
const LONG = toRemote({ fragment: 0x4000 }, udp(1_000, 2_000, Buffer.alloc(700, 0x5a)));
type Said = NonNullable<Parameters<typeof routerError>[1]>;

interface Judged {
  readonly judgement: number;
  readonly mark: number;
  readonly packet: Buffer;
}

/** @param frame  as it came, with a mark of somebody else's and of a tenant's on it */
function judge(frame: Buffer): Judged {
  const packet = frame.subarray(ETHERNET);
  const room = Buffer.concat([Buffer.alloc(HEADROOM), packet]);
  const passage: Passage = {
    bytes: new DataView(room.buffer, room.byteOffset, room.length),
    ...{ at: HEADROOM, length: packet.length, mark: FOREIGN_MARK | OTHER_MARK, tag: 0, changed: false },
  };
  const judgement = judgeIn(TABLES, passage);
  return {
    judgement,
    mark: passage.mark,
    packet: room.subarray(passage.at, passage.at + passage.length),
  };
}

/** The error, its message's bytes changed by `change` behind the router's back. */
function damaged(frame: Buffer, change: (message: Buffer) => void): Buffer {
  const copy = Buffer.from(frame);
  change(copy.subarray(ETHERNET + 20));
  return copy;
}

describe('an error about a packet of this node', () => {
  it.each<[string, Said, Said]>([
    ['too long', { mtu: 1_400 }, { mtu: 1_384 }],
    ['too long for a hop that is as narrow as any may be', { mtu: 84 }, { mtu: 68 }],
    ['too long for a hop that is narrower', { mtu: 83 }, { mtu: 83 }],
    ['too long, by a router that does not say for what', { mtu: 0 }, { mtu: 0 }],
    ['unreachable, with another number where the MTU would be', { code: 1, mtu: 1_400 }, { mtu: 1_400 }],
    ['too old', { type: 11, code: 0, mtu: 0 }, {}],
    ['a parameter before the tag', { type: 12, code: 0, mtu: 0, pointer: 19 }, { pointer: 19 }],
    ['a parameter behind the tag', { type: 12, code: 0, mtu: 0, pointer: 36 }, { pointer: 20 }],
  ])('is one about the packet without tag: %s', (_, said, heard) => {
    const expected = routerError(LONG, { ...said, ...heard, quoted: 548 - 16 });
    expect(judge(routerError(tagged(LONG), said))).toEqual({
      judgement: ALLOWED,
      mark: FOREIGN_MARK | MARK,
      packet: expected.subarray(ETHERNET),
    });
  });

  it('quotes the options that the packet has had besides', () => {
    const sent = toRemote({ options: RECORD_ROUTE });
    const { packet } = judge(routerError(tagged(sent)));
    expect(packet).toEqual(routerError(sent, { mtu: 1_384 }).subarray(ETHERNET));
  });

  it('is believed when it quotes the header with its tag and no byte more', () => {
    const { judgement, packet } = judge(routerError(tagged(LONG), { quoted: 36 }));
    expect([judgement, packet]).toEqual([
      ALLOWED,
      routerError(LONG, { mtu: 1_384, quoted: 20 }).subarray(ETHERNET),
    ]);
  });

  it('says where its quote ends when something stands behind it', () => {
    const { packet } = judge(damaged(routerError(tagged(LONG)), (message) => message.writeUInt8(32, 5)));
    expect(packet.readUInt8(20 + 5)).toBe(28);
  });

  it('that was damaged under way still shows it', () => {
    for (const at of [2, 4, 8 + 10, 8 + 40]) {
      const error = damaged(routerError(tagged(LONG)), (message) =>
        message.writeUInt8(message[at]! ^ 0x10, at),
      );
      const { judgement, packet } = judge(error);
      expect(judgement).toBe(ALLOWED);
      expect(internetChecksum(packet.subarray(0, 20))).toBe(0);
      expect(internetChecksum(packet.subarray(20))).not.toBe(0);
    }
  });
});

describe('an error is refused', () => {
  it.each<[string, DropReason, Buffer]>([
    ['without a tag in its quote', 'untagged', routerError(LONG)],
    [
      'to another than the sender',
      'untagged',
      routerError(tagged(toRemote({ source: NEIGHBOUR })), { to: OWN }),
    ],
    [
      'to an address of the pool that no node has',
      'untagged',
      routerError(tagged(toRemote({ source: ip('10.64.9.9') }))),
    ],
    ['of another type', 'untagged', routerError(tagged(LONG), { type: 8 })],
    ['with a quote of something else than IPv4', 'untagged', withQuoted(0, 0x69)],
    ['with the tag of another epoch', 'tag_epoch', withQuoted(23, 9)],
    ['with a tag of another format', 'tag_version', withQuoted(22, 2)],
    ['with a tag of nobody', 'tag_malformed', withQuoted(24, 1)],
    ['with another option in the place of the tag', 'tag_malformed', withQuoted(20, 0x94)],
    ['about another receiver', 'tag_forged', withQuoted(19, 10)],
    ['with a tag by another key', 'tag_forged', routerError(tagged(LONG, { secret: Buffer.alloc(16, 1) }))],
  ])('%s', (_, reason, error) => {
    const before = error.subarray(ETHERNET).toString('hex');
    const { judgement, packet, mark } = judge(error);
    expect([judgement, mark]).toEqual([numberOfReason(reason), FOREIGN_MARK]);
    expect(packet.toString('hex')).toBe(before);
  });

  it('when nobody of the tenant is here', () => {
    const elsewhere = { ...TABLES, markOfTag: new Map<TenantTag, number>() };
    const room = Buffer.from(routerError(tagged(LONG)));
    const passage: Passage = {
      bytes: new DataView(room.buffer, room.byteOffset, room.length),
      ...{ at: ETHERNET, length: room.length - ETHERNET, mark: 0, tag: 0, changed: false },
    };
    expect(judgeIn(elsewhere, passage)).toBe(numberOfReason('other_tenant'));
  });

  it('cut off at any byte before the end of the quoted tag', () => {
    const error = routerError(tagged(LONG));
    for (let length = 20; length < 20 + 8 + 36; length++)
      expect(judge(error.subarray(0, ETHERNET + length)).judgement).toBe(numberOfReason('untagged'));
    expect(judge(error.subarray(0, ETHERNET + 64)).judgement).toBe(ALLOWED);
  });

  it('in pieces, or when it comes from the pool itself', () => {
    const inPieces = withHeader((header) => header.writeUInt16BE(0x2000, 6));
    const ofPool = withHeader((header) => header.set([10, 64, 4, 9], 12));
    for (const error of [inPieces, ofPool]) expect(judge(error).judgement).toBe(numberOfReason('untagged'));
  });
});

it('an error about a packet of the node itself is none of the fence', () => {
  const own = routerError(toRemote({ source: CONF.uplinkAddress, destination: INTERNET }));
  expect(judge(own)).toEqual({ judgement: ALLOWED, mark: FOREIGN_MARK, packet: own.subarray(ETHERNET) });
});

/** A genuine error, but for one byte of the quoted header. */
function withQuoted(at: number, value: number): Buffer {
  return damaged(routerError(tagged(LONG)), (message) => message.writeUInt8(value, 8 + at));
}

function withHeader(change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(routerError(tagged(LONG)));
  change(copy.subarray(ETHERNET, ETHERNET + 20));
  return copy;
}
