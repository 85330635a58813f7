/** A8: tokens forged in the tunnel. */
import type { KeyEpoch, TenantTag } from '../../../../model/names.ts';
import { encodeTag } from '../../../../tagqueue/wire.ts';
import { PROTOCOL } from '../../../frames.ts';
import { attack, framesBeforeControls, type Suite } from '../../attack.ts';
import { TUNNEL_PORT } from '../../carriage.ts';
import { changed, range, tagged } from '../../traffic.ts';
import { AT, TOKEN_BYTES, tunnelled } from '../../tunnel-frames.ts';
import { bitsOf, flipped, from, genuine, PATIENCE_MS, PAYLOAD, stranger } from './made.ts';

export const forgedTokens: Suite = (world) =>
  describe('A8: tokens forged in the tunnel', () => {
    it('A8: the genuine packet that all others are made from does arrive', async () => {
      const { blue, stranger } = world();
      stranger.socket.send(genuine(world()));
      const seen = await blue.a1.internal.socket.next(
        ({ bytes, outgoing }) =>
          !outgoing && bytes.includes(PAYLOAD) && bytes.length === AT.inner - 30 + PAYLOAD.length,
        PATIENCE_MS,
      );
      expect(seen).toBeDefined();
      await framesBeforeControls(world(), []);
    });

    attack(world, {
      id: 'A8',
      name: 'tunnel: each of the 64 bits of the token flipped',
      from: stranger,
      frames: (all) => bitsOf(TOKEN_BYTES).map((bit) => flipped(genuine(all), bit)),
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: every other bit between outer and inner header flipped, ports apart',
      from: stranger,
      frames: (all) =>
        bitsOf(from(AT.udpLength, AT.inner).filter((at) => !TOKEN_BYTES.includes(at as never))).map((bit) =>
          flipped(genuine(all), bit),
        ),
      dropped: { by: ['tunnel_malformed', 'tag_malformed', 'tag_version', 'tag_epoch', 'tag_forged'] },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: each bit of the outer header flipped, its checksum left as it was',
      from: stranger,
      frames: (all) => bitsOf(from(AT.outer, AT.udp)).map((bit) => flipped(genuine(all), bit)),
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: to every other port of the node',
      from: stranger,
      frames: (all) =>
        range(65_536, (port) => port)
          .filter((port) => port !== TUNNEL_PORT)
          .map((port) => {
            const bytes = genuine(all);
            bytes.writeUInt16BE(port, AT.udp + 2);
            return bytes;
          }),
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: every other version, its token right',
      from: stranger,
      frames: (all) =>
        range(256, (version) => version)
          .filter((version) => version !== 1)
          .map((version) => genuine(all, { tag: { version } })),
      dropped: { by: 'tag_version' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: every other epoch, made with this epoch's key, and with a key of zeros",
      from: stranger,
      frames: (all) =>
        range(256, (epoch) => epoch as KeyEpoch)
          .filter((epoch) => epoch !== all.key.epoch)
          .flatMap((epoch) =>
            [all.key.secret, Buffer.alloc(16)].map((secret) => genuine(all, { key: { epoch, secret } })),
          ),
      dropped: { by: 'tag_epoch' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: tenant 0 with a right token, every other VNI under blue's, keys of zeros and ones",
      from: stranger,
      frames: (all) => [
        genuine(all, { tag: { tenant: 0 as TenantTag } }),
        ...range(256, (value) => value)
          .filter((value) => value !== all.tags.blue)
          .map((value) => changed(genuine(all), AT.reserved - 1, value)),
        ...[0, 255].map((byte) =>
          genuine(all, { key: { epoch: all.key.epoch, secret: Buffer.alloc(16, byte) } }),
        ),
      ],
      dropped: { by: ['tag_malformed', 'tag_forged'] },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: red's own, authentic, to blue",
      from: stranger,
      frames: (all) => [
        tunnelled(all, all.red.b1.internal, all.blue.a1.internal),
        tunnelled(all, all.red.b2.internal, all.blue.a2.internal),
      ],
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: the token of another source, destination, protocol, and of an option',
      from: stranger,
      frames: (all) => {
        const { blue, red } = all;
        return (
          [
            { source: blue.b2.internal.address },
            { source: red.b1.internal.address },
            { destination: blue.a2.internal.address },
            { source: blue.a1.internal.address, destination: blue.b1.internal.address },
            { protocol: PROTOCOL.tcp },
            { carrier: 'option' },
          ] as const
        ).map((signed) => genuine(all, { signed }));
      },
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: "the tunnel's token in an option",
      from: stranger,
      frames: (all) => {
        const { blue } = all;
        const own = genuine(all);
        const options = encodeTag(
          { source: blue.b1.internal.address, destination: blue.a1.internal.address, protocol: PROTOCOL.udp },
          all.tags.blue,
          all.key,
        );
        options.set(
          TOKEN_BYTES.map((at) => own[at]!),
          8,
        );
        return [tagged(all, blue.b1.internal, blue.a1.internal, { options })];
      },
      dropped: { by: 'tag_forged' },
    });
  });
