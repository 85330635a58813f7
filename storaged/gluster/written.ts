/**
 * What glusterd has written down of its cluster, read where it lies. To ask it costs a tenth of a second of processor for
 * each question, and may wait for others' orders; its files are put in place by renaming, before an order is answered.
 */
import path from 'node:path';
import { namesIn } from '../../linux/directories.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { SluiceError } from '../../model/errors.ts';
import type { GlusterBrick, GlusterVolume } from '../contract.ts';

/** glusterd_volume_status (xlators/mgmt/glusterd/src/glusterd.h). */
const STATES = ['created', 'started', 'stopped'] as const;
/** GD_FRIEND_STATE_BEFRIENDED (xlators/mgmt/glusterd/src/glusterd-sm.h): 'Peer in Cluster'. */
const BEFRIENDED = '3';

export interface WrittenVolume {
  readonly volume: GlusterVolume;
  /** How many bricks hold one piece of data; 1: none is replicated. */
  readonly replicas: number;
}

export interface Written {
  /** Those whose record is whole. */
  volumes(): readonly WrittenVolume[];
  /** Addresses of full members but this node. */
  members(): readonly string[];
  /** Options of the cluster as a whole. */
  options(): ReadonlyMap<string, string>;
}

/** @param directory  which stands in the place of /var/lib/glusterd */
export function readWritten(directory: string): Written {
  /** By name: the text it was made of, and what that says. */
  let known = new Map<string, Known>();
  const textOf = (...where: readonly string[]): string | undefined =>
    readTextIfThere(path.join(directory, ...where));

  function read(name: string): Known | undefined {
    const info = textOf('vols', name, 'info');
    if (info === undefined || info === '') return undefined;
    const before = known.get(name);
    if (before?.info === info) return before;
    const fields = fieldsOf(info);
    const bricks = brickFilesOf(fields).map((file) => textOf('vols', name, 'bricks', file));
    if (!bricks.every((text) => text !== undefined)) return undefined;
    return { info, one: volumeOf(name, fields, bricks.map(fieldsOf)) };
  }

  return {
    volumes(): readonly WrittenVolume[] {
      const found = namesIn(path.join(directory, 'vols')).flatMap((name) => {
        const volume = read(name);
        return volume === undefined ? [] : [[name, volume] as const];
      });
      known = new Map(found);
      return found.map(([, { one }]) => one);
    },
    members: () =>
      namesIn(path.join(directory, 'peers')).flatMap((file) => {
        const peer = fieldsOf(textOf('peers', file) ?? '');
        if (peer.get('state') !== BEFRIENDED) return [];
        return [...peer].flatMap(([name, value]) => (name.startsWith('hostname') ? [value] : []));
      }),
    options: () => fieldsOf(textOf('options') ?? ''),
  };
}

interface Known {
  readonly info: string;
  readonly one: WrittenVolume;
}

type Fields = ReadonlyMap<string, string>;

/** Lines NAME=VALUE. */
function fieldsOf(text: string): Fields {
  const lines = text.split('\n').filter((line) => line.includes('='));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  );
}

/** In the volume's order: `brick-0=192.0.2.1:-srv-b`, which is also what each one's own record is called. */
function brickFilesOf(fields: Fields): string[] {
  return Array.from({ length: numberIn(fields, 'count') }, (_, index) => textIn(fields, `brick-${index}`));
}

function volumeOf(name: string, fields: Fields, bricks: readonly Fields[]): WrittenVolume {
  const replicas = numberIn(fields, 'replica_count');
  const data = replicas - (fields.has('arbiter_count') ? numberIn(fields, 'arbiter_count') : 0);
  const state = STATES[numberIn(fields, 'status')] ?? unknown('status', textIn(fields, 'status'));
  return {
    volume: {
      ...{ name, state },
      bricks: bricks.map(
        (brick, index): GlusterBrick => ({
          name: `${textIn(brick, 'hostname')}:${textIn(brick, 'path')}`,
          arbiter: index % replicas >= data,
        }),
      ),
      // Nothing else has a point in its name.
      options: Object.fromEntries([...fields].filter(([field]) => field.includes('.'))),
    },
    replicas,
  };
}

function numberIn(fields: Fields, name: string): number {
  const text = textIn(fields, name);
  return /^\d+$/.test(text) ? Number(text) : unknown(name, text);
}

function textIn(fields: Fields, name: string): string {
  return fields.get(name) ?? unknown(name, '');
}

function unknown(what: string, text: string): never {
  throw new SluiceError(
    'storage_failed',
    `glusterd has written down a ${what} that is not known: ${JSON.stringify(text.slice(0, 100))}`,
    'another version of Gluster may be installed',
  );
}
