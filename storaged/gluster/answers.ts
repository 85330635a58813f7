/** What Gluster's answers say, read strictly: a number that is none is an error, not a zero. Pure; golden outputs stand beside it. */
import { SluiceError } from '../../model/errors.ts';
import type { Fill } from '../../model/volume-report.ts';
import type { GlusterBrickStatus, GlusterPeer } from '../contract.ts';
import { at, childrenOf, textAt, type XmlElement } from './xml.ts';

/** GD_FRIEND_STATE_BEFRIENDED (xlators/mgmt/glusterd/src/glusterd-sm.h): 'Peer in Cluster'. */
const BEFRIENDED = 3;
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/;

export function peersOf(answer: XmlElement): readonly GlusterPeer[] {
  return childrenOf(at(answer, 'peerStatus'), 'peer').map((peer) => {
    const name = textAt(peer, 'hostname');
    // Where a resolver knows the address, Gluster may call the peer by its name first.
    const others = childrenOf(at(peer, 'hostnames'), 'hostname').map(({ text }) => text.trim());
    return {
      address: [name, ...others].find((one) => IPV4.test(one)) ?? name,
      uuid: textAt(peer, 'uuid'),
      connected: textAt(peer, 'connected') === '1',
      joined: numberAt(peer, 'state') === BEFRIENDED,
    };
  });
}

/** `volume status NAME|all detail`, by volume. Self-heal daemons are in other answers. */
export function statusOf(answer: XmlElement): ReadonlyMap<string, readonly GlusterBrickStatus[]> {
  return new Map(
    childrenOf(at(answer, 'volStatus', 'volumes'), 'volume').map((volume) => [
      textAt(volume, 'volName'),
      childrenOf(volume, 'node').map(brickStatusOf),
    ]),
  );
}

function brickStatusOf(node: XmlElement): GlusterBrickStatus {
  const online = textAt(node, 'status') === '1';
  return {
    name: `${textAt(node, 'hostname')}:${textAt(node, 'path')}`,
    online,
    pid: online ? numberAt(node, 'pid') : null,
    fill: fillOf(node),
  };
}

/** Of one whose file system is not there any more Gluster tells nothing. */
function fillOf(node: XmlElement): Fill | null {
  const names = ['sizeTotal', 'sizeFree', 'inodesTotal', 'inodesFree'] as const;
  const figures = names.map((name) => at(node, name)?.text.trim() ?? '');
  if (!figures.every((figure) => /^\d+$/.test(figure))) return null;
  const [totalBytes = 0, freeBytes = 0, totalInodes = 0, freeInodes = 0] = figures.map(Number);
  return { totalBytes, freeBytes, totalInodes, freeInodes };
}

/**
 * `volume heal NAME info summary`. Each good copy lists what another one lacks, so the largest figure of a replica set
 * counts. A brick that is down says nothing; what it lacks, the others tell.
 */
export function healOf(
  answer: XmlElement,
  replicas: number,
): { readonly pending: number; readonly splitBrain: number } {
  const bricks = childrenOf(at(answer, 'healInfo', 'bricks'), 'brick').map((brick) => ({
    all: optionalNumber(brick, 'totalNumberOfEntries'),
    split: optionalNumber(brick, 'numberOfEntriesInSplitBrain'),
  }));
  let [pending, splitBrain] = [0, 0];
  for (let first = 0; first < bricks.length; first += replicas) {
    const set = bricks.slice(first, first + replicas);
    const split = Math.max(...set.map((one) => one.split));
    splitBrain += split;
    pending += Math.max(0, Math.max(...set.map((one) => one.all)) - split);
  }
  return { pending, splitBrain };
}

function optionalNumber(element: XmlElement, name: string): number {
  const text = at(element, name)?.text.trim();
  return text === undefined || text === '-' ? 0 : numberOf(name, text);
}

function numberAt(element: XmlElement, name: string): number {
  return numberOf(name, textAt(element, name));
}

function numberOf(name: string, text: string): number {
  return /^-?\d+$/.test(text) ? Number(text) : unknown(name, text);
}

function unknown(what: string, text: string): never {
  throw new SluiceError(
    'storage_failed',
    `gluster tells a ${what} that is not known: ${JSON.stringify(text.slice(0, 100))}`,
    'another version of Gluster may be installed',
  );
}
