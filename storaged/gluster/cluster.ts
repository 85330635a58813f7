/** Orders to Gluster and what it tells, as typed records. It decides nothing. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import type {
  GlusterBrickStatus,
  GlusterCluster,
  GlusterPeer,
  GlusterVolume,
  NewGlusterVolume,
} from '../contract.ts';
import { healOf, peersOf, statusOf } from './answers.ts';
import type { GlusterCommand } from './command.ts';
import { CLUSTER_OPTIONS } from './options.ts';
import type { Written } from './written.ts';

/** How long a new peer may take to become a full member; 0.2 s as measured. */
const JOIN_MS = 20_000;
const JOIN_POLL_MS = 50;
/** How long one that is away may take to come back. */
const RETURN_MS = 5_000;
/** heal info looks into every brick. */
const HEAL_INFO_MS = 120_000;
/** A volume of many bricks, on busy disks. */
const ORDER_MS = 120_000;

/** @param written  by this node's glusterd */
export function createGlusterCluster(command: GlusterCommand, written: Written): GlusterCluster {
  const order = async (...args: readonly string[]): Promise<void> => {
    await command(args, { timeoutMs: ORDER_MS });
  };
  const peers = async (): Promise<readonly GlusterPeer[]> => peersOf(await command(['peer', 'status']));

  async function probe(address: Ipv4): Promise<void> {
    await order('peer', 'probe', address);
    for (
      const deadline = performance.now() + JOIN_MS;
      performance.now() < deadline;
      await pause(JOIN_POLL_MS)
    ) {
      const peer = (await peers()).find((one) => one.address === address);
      // None: it is this node.
      if (peer === undefined || (peer.joined && peer.connected)) return;
    }
    throw new SluiceError(
      'try_again',
      `the storage node at ${address} was asked to join, and has not`,
      'see whether it answers at port 24007',
    );
  }

  async function create(volume: NewGlusterVolume, options: Readonly<Record<string, string>>): Promise<void> {
    await untilConnected(volume.bricks);
    await setClusterOptions();
    try {
      await order(...creationOf(volume));
      if (Object.keys(options).length > 0) await set(volume.name, options);
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'already_exists') throw error;
      await undo(volume.name, error);
      throw error;
    }
  }

  /** A member whose glusterd has just been started anew is back in a moment; of one that is not Gluster tells by itself. */
  async function untilConnected(bricks: NewGlusterVolume['bricks']): Promise<void> {
    const isNeeded = ({ address }: GlusterPeer): boolean =>
      bricks.some((brick) => brick.startsWith(`${address}:`));
    for (
      const deadline = performance.now() + RETURN_MS;
      written.members().length > 0 && performance.now() < deadline;
      await pause(JOIN_POLL_MS)
    )
      if ((await peers()).filter(isNeeded).every(({ connected }) => connected)) return;
  }

  /** Whatever of it has come to be, on whichever node. @throws SluiceError when it cannot be undone now */
  async function undo(name: string, because: unknown): Promise<void> {
    try {
      if ((await volumes()).some((one) => one.name === name)) await order('volume', 'delete', name);
    } catch (error) {
      const why = [because, error].map((one) => (one instanceof Error ? one.message : String(one)));
      throw new SluiceError(
        'storage_failed',
        `${why[0]}; and what was made of it could not be undone yet: ${why[1]}`,
        'delete the volume when all storage nodes answer',
        { cause: because },
      );
    }
  }

  /** Once in the life of a cluster; every later time it is only looked at. */
  async function setClusterOptions(): Promise<void> {
    const held = written.options();
    for (const [name, value] of Object.entries(CLUSTER_OPTIONS))
      if (held.get(name) !== value) await order('volume', 'set', 'all', name, value);
  }

  async function set(name: string, options: Readonly<Record<string, string>>): Promise<void> {
    await order('volume', 'set', name, ...Object.entries(options).flat());
  }

  const volumes = async (): Promise<readonly GlusterVolume[]> =>
    written.volumes().map(({ volume }) => volume);

  return {
    ...{ peers, probe, volumes, create, set },
    detach: (address) => unless(NO_PEER, order('peer', 'detach', address)),
    members: async () => written.members(),
    start: (name) => unless(ALREADY_STARTED, order('volume', 'start', name)),
    revive: (name) => order('volume', 'start', name, 'force'),
    stop: (name) => unless(NOT_STARTED, order('volume', 'stop', name)),
    delete: (name) => order('volume', 'delete', name),
    replace: (name, from, to) => order('volume', 'replace-brick', name, from, to, 'commit', 'force'),
    heal: (name) => unless(HEAL_LAUNCHED, order('volume', 'heal', name)),
    async status(name): Promise<readonly GlusterBrickStatus[]> {
      const answer = await command(['volume', 'status', name, 'detail']);
      return statusOf(answer).get(name) ?? [];
    },
    async healInfo(name): ReturnType<GlusterCluster['healInfo']> {
      const detail = written.volumes().find(({ volume }) => volume.name === name);
      if (detail === undefined || detail.replicas < 2) return { pending: 0, splitBrain: 0 };
      const answer = await command(['volume', 'heal', name, 'info', 'summary'], { timeoutMs: HEAL_INFO_MS });
      return healOf(answer, detail.replicas);
    },
  };
}

/** Said in plain words, with --xml too. */
const HEAL_LAUNCHED = /Launching heal operation .* has been successful/;
const ALREADY_STARTED = /Volume \S+ already started/;
const NOT_STARTED = /Volume \S+ is not in the started state/;
const NO_PEER = /is not part of cluster/;

/** An order for what is so already. */
async function unless(already: RegExp, done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!(error instanceof SluiceError && already.test(error.message))) throw error;
  }
}

/** `gluster volume create` for a layout; the count of replicas has arbiters among them (gluster(8)). */
function creationOf({ name, replicas, arbiters, bricks }: NewGlusterVolume): readonly string[] {
  const copies = replicas > 1 ? ['replica', String(replicas)] : [];
  return [
    'volume',
    'create',
    name,
    ...copies,
    ...(arbiters > 0 ? ['arbiter', String(arbiters)] : []),
    ...bricks,
  ];
}
