/** `sluice verify`: proves the fence on this node, and between it and a peer. */

import { createLab } from '../../lab/lab.ts';
import type { ApiClient } from '../../linux/api-client.ts';
import { localClient } from '../../linux/api-client.ts';
import { type Netns, openNetns } from '../../linux/netns.ts';
import type { Destination } from '../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import { socketOf } from '../places.ts';
import { type Cast, gather, gatherPeer, Undo } from './cast.ts';
import { needsTwoHosts, runChecks } from './checks/all.ts';
import {
  defaultGateway,
  learnNode,
  type NodeDaemons,
  type NodeUnderProof,
  openDaemons,
  openNodeNetns,
} from './node-facts.ts';
import { type Report, reportOf } from './report.ts';
import type { Peer, Stage } from './stage.ts';

export interface VerifyOptions {
  /** The node under proof. */
  readonly runDir: string;
  /** The cluster's server. */
  readonly server: ApiClient;
  /** Ends the proof early; what it put up is taken away all the same. */
  readonly signal: AbortSignal;
  /** Which node to be the other host; default: the first that there is. */
  readonly peer?: string;
  /** An address beyond NAT that answers; default: the default gateway, else a peer. */
  readonly egressProbe?: Ipv4;
  /** Where the server takes connections from nodes. */
  readonly services?: readonly Destination[];
  /** When there is no peer: prove what takes two hosts between two in a lab. */
  readonly lab?: boolean;
  /** Path of a network namespace outside, to try published ports from. */
  readonly outside?: string;
  /** Actors that are there already, such as containers of a real runtime, instead of some made for the proof. */
  readonly actors?: (netns: Netns) => Promise<{ readonly cast: Cast; readonly peer: Stage['peer'] }>;
}

/**
 * @throws SluiceError `unreachable`, `not_ready`, `check_failed` when there can be no proof; the signal's reason
 *   when that fired
 */
export async function runVerify(options: VerifyOptions): Promise<Report> {
  const undo = new Undo();
  try {
    using daemons = openDaemons(options.runDir);
    using netns = openNodeNetns(options.runDir);
    const node = await learnNode(daemons, options.server);
    using outside = options.outside === undefined ? undefined : openNetns(options.outside);
    const stage = await setStage(options, { daemons, netns, node, outside, undo });
    const checks = await runChecks(stage, options.signal);
    if (!options.lab || !('missing' in stage.peer)) return reportOf(node.node, node.plane, checks);
    const inLab = await verifyInLab(options.signal);
    const twoHosts = inLab.checks
      .filter(needsTwoHosts)
      .map((check) => ({ ...check, note: [check.note, IN_LAB].filter(Boolean).join('; ') }));
    return reportOf(node.node, node.plane, inOrder(checks, twoHosts));
  } finally {
    const failures = await undo.run();
    if (failures.length > 0)
      process.stderr.write(`sluice: verify could not take away all it had put up: ${failures.join('; ')}\n`);
  }
}

const IN_LAB = 'between two hosts in a lab of its own, as this machine stands alone';
const NO_PEER = 'there is no other node: join one, or use --lab';

interface Scene {
  readonly daemons: NodeDaemons;
  readonly netns: Netns;
  readonly node: NodeUnderProof;
  readonly outside: Netns | undefined;
  readonly undo: Undo;
}

async function setStage(
  options: VerifyOptions,
  { daemons, netns, node, outside, undo }: Scene,
): Promise<Stage> {
  const { runDir, server, signal } = options;
  const { cast, peer } =
    options.actors === undefined
      ? {
          cast: await gather({ runDir, daemons, server, netns }, undo),
          peer: await findPeer(options, node, undo),
        }
      : await options.actors(netns);
  signal.throwIfAborted();
  return {
    ...{ node: node.node, plane: node.plane, netns, peer, outside },
    uplink: { ifName: node.uplink, address: node.uplinkAddress },
    ...cast,
    egress: options.egressProbe ?? (await defaultGateway(netns)) ?? node.peers[0]?.uplinkAddress,
    services: options.services ?? [],
  };
}

async function findPeer(
  { server, peer: wanted }: VerifyOptions,
  { peers }: NodeUnderProof,
  undo: Undo,
): Promise<Peer | { missing: string }> {
  const node = wanted === undefined ? peers[0] : peers.find((one) => (one.node as string) === wanted);
  if (node !== undefined) return gatherPeer(server, node, undo);
  if (wanted === undefined) return { missing: NO_PEER };
  throw new SluiceError('not_found', `the cluster has no other node ${wanted}`, 'see `sluice node list`');
}

/** The machine's own uplink is not ours to wire to anything: both hosts are made. */
async function verifyInLab(signal: AbortSignal): Promise<Report> {
  const lab = await createLab({ prefix: LAB, nodes: ['lab1', 'lab2'] });
  try {
    signal.throwIfAborted();
    await lab.start();
    const { runDir } = lab.node('lab1');
    const server = localClient(socketOf({ runDir }, 'server'));
    try {
      return await runVerify({ runDir, server, signal, outside: lab.internet.netns });
    } finally {
      server.close();
    }
  } finally {
    await lab
      .close()
      .catch((error: unknown) => process.stderr.write(`sluice: ${asSluiceError(error).message}\n`));
  }
}

const LAB = 'svlab';

/** Puts the rows of the lab where the untested ones stood. */
function inOrder(checks: Report['checks'], twoHosts: Report['checks']): Report['checks'] {
  return checks.flatMap((check) =>
    needsTwoHosts(check) ? twoHosts.filter(({ id }) => id === check.id) : [check],
  );
}
