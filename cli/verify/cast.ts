/** Containers made for one proof: fresh namespaces, attached by the plugin as a runtime would, and gone afterwards. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { thisCheckout } from '../../lab/checkout.ts';
import { type CniOutcome, callPlugin } from '../../lab/cni.ts';
import type { ApiClient } from '../../linux/api-client.ts';
import { createNetns, type Netns, openNetns } from '../../linux/netns.ts';
import { listenTcp } from '../../linux/probe-sockets.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { asSluiceError, cniCodeOf, SluiceError } from '../../model/errors.ts';
import type { Probe } from '../../model/probe.ts';
import { findEndpoint, type NodeDaemons } from './node-facts.ts';
import type { LocalActor, Peer, Publication, RemoteActor } from './stage.ts';

export const BLUE = 'verify-blue';
export const RED = 'verify-red';
/** Marks what is ours among a node's endpoints. */
const NETWORK = 'sluice-verify';
const CONTAINER_PORT = 8080;
const PROBE_TTL_SECONDS = 120;
const PROBE_READY_MS = 15_000;
/** A tenant just made reaches netd by its watch. */
const TENANT_KNOWN_MS = 5_000;
const POLL_MS = 50;

export interface Cast {
  readonly blue: readonly [LocalActor, LocalActor];
  readonly red: LocalActor;
  readonly publication: Publication;
}

interface Place {
  readonly runDir: string;
  readonly daemons: NodeDaemons;
  readonly server: ApiClient;
  /** The node's own namespace. */
  readonly netns: Netns;
}

/**
 * Undoes in reverse order and past failures.
 * @returns what failed, in words
 */
export class Undo {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.unshift(step);
  }

  async run(): Promise<string[]> {
    const failures: string[] = [];
    for (const step of this.#steps.splice(0)) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => failures.push(asSluiceError(error).message));
    }
    return failures;
  }
}

/** @param undo  told of every step before the next is taken */
export async function gather(place: Place, undo: Undo): Promise<Cast> {
  await removeStale(place);
  for (const tenant of [BLUE, RED]) await ensureTenant(place.server, tenant, undo);
  const hostPort = await freePort(place.netns);
  const publishing = { portMappings: [{ hostPort, containerPort: CONTAINER_PORT, protocol: 'tcp' }] };
  const b1 = await attach(place, undo, BLUE, 'b1', publishing);
  const b2 = await attach(place, undo, BLUE, 'b2');
  const red = await attach(place, undo, RED, 'r1');
  const port = { hostPort, containerPort: CONTAINER_PORT, protocol: 'tcp', hostIp: null } as const;
  return { blue: [b1, b2], red, publication: { actor: b1, port, served: false } };
}

/** Endpoints of proofs that were killed; those of a proof under way have a namespace. */
async function removeStale({ runDir, daemons }: Place): Promise<void> {
  const { endpoints } = (await daemons.netd.request('GET', '/v1/endpoints')) as { endpoints: Endpoint[] };
  for (const { network, containerId, netns } of endpoints) {
    if ((network as string) === NETWORK && !exists(netns)) await detach(runDir, containerId, '');
  }
}

function exists(netns: string): boolean {
  try {
    openNetns(netns)[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

async function ensureTenant(server: ApiClient, tenant: string, undo: Undo): Promise<void> {
  try {
    await server.request('POST', '/v1/tenants', { tenant });
  } catch (thrown) {
    const { code } = asSluiceError(thrown);
    if (code === 'already_exists' || (code === 'refused' && (await isThere(server, tenant)))) return;
    throw code === 'refused' ? mayNotCreate(tenant, thrown) : thrown;
  }
  undo.add(() => server.request('DELETE', `/v1/tenants/${tenant}`));
}

async function isThere(server: ApiClient, tenant: string): Promise<boolean> {
  return server.request('GET', `/v1/tenants/${tenant}`).then(
    () => true,
    () => false,
  );
}

function mayNotCreate(tenant: string, cause: unknown): SluiceError {
  const hint = `on the server's machine: sluice tenant create ${BLUE}; sluice tenant create ${RED}`;
  return new SluiceError('refused', `a node may not create tenant ${tenant}, which the proof needs`, hint, {
    cause,
  });
}

/** Found free a moment ago: netd refuses it should somebody have been faster. */
async function freePort(netns: Netns): Promise<number> {
  await using listener = await listenTcp(netns, 0, () => '');
  return listener.port;
}

async function attach(
  place: Place,
  undo: Undo,
  tenant: string,
  name: string,
  runtimeConfig?: object,
): Promise<LocalActor> {
  const netns = createNetns();
  undo.add(() => netns[Symbol.dispose]());
  const containerId = `verify-${randomBytes(4).toString('hex')}-${name}`;
  const call = {
    ...{
      containerId,
      netns: netns.path,
      conf: { name: NETWORK },
      args: `IgnoreUnknown=1;SLUICE_TENANT=${tenant}`,
    },
    ...(runtimeConfig !== undefined && { runtimeConfig: { ...runtimeConfig } }),
  };
  undo.add(() => detach(place.runDir, containerId, netns.path));
  const deadline = performance.now() + TENANT_KNOWN_MS;
  let outcome = await callPlugin(thisCheckout().plugin, place.runDir, 'ADD', call);
  while (outcome.json?.['code'] === cniCodeOf('unknown_tenant') && performance.now() < deadline) {
    await sleep(POLL_MS);
    outcome = await callPlugin(thisCheckout().plugin, place.runDir, 'ADD', call);
  }
  requireSuccess('attach', outcome);
  const endpoint = await findEndpoint(place.daemons, containerId);
  return { label: `${tenant}/${name}`, netns, nics: endpoint.nics };
}

async function detach(runDir: string, containerId: string, netns: string): Promise<void> {
  const call = { containerId, conf: { name: NETWORK }, ...(netns !== '' && { netns }) };
  requireSuccess('detach', await callPlugin(thisCheckout().plugin, runDir, 'DEL', call));
}

function requireSuccess(what: string, { code, json }: CniOutcome): void {
  if (code === 0) return;
  const message = `cannot ${what} a container of the proof: ${String(json?.['msg'])} ${String(json?.['details'] ?? '')}`;
  throw new SluiceError('check_failed', message.trim(), 'see `sluice status` and `sluice doctor`');
}

/** Asks the peer to put up a container of each tenant. @throws SluiceError `not_ready` when it does not in time */
export async function gatherPeer(server: ApiClient, { node }: ClusterNode, undo: Undo): Promise<Peer> {
  const probes: Probe[] = [];
  for (const tenant of [BLUE, RED]) {
    const probe = (await server.request('POST', '/v1/probes', {
      node,
      tenant,
      ttlSeconds: PROBE_TTL_SECONDS,
    })) as Probe;
    undo.add(() => server.request('DELETE', `/v1/probes/${probe.id}`));
    probes.push(probe);
  }
  const [blue, red] = await Promise.all(
    probes.map((probe, index) => remoteActor(server, probe, index === 0 ? 'b3' : 'r2')),
  );
  if (blue === undefined || red === undefined) throw new RangeError('one probe per tenant');
  return { node, blue, red };
}

async function remoteActor(
  server: ApiClient,
  { id, node, tenant }: Probe,
  name: string,
): Promise<RemoteActor> {
  const deadline = performance.now() + PROBE_READY_MS;
  for (;;) {
    const { status } = (await server.request('GET', `/v1/probes/${id}`)) as Probe;
    if (status?.internalAddress) return { label: `${tenant}/${name}`, address: status.internalAddress };
    if (status?.error !== undefined) throw noProbe(node, status.error);
    if (performance.now() >= deadline) throw noProbe(node, `nothing within ${PROBE_READY_MS / 1_000} s`);
    await sleep(POLL_MS);
  }
}

function noProbe(node: string, why: string): SluiceError {
  return new SluiceError(
    'not_ready',
    `node ${node} puts up no container for the proof: ${why}`,
    `see \`sluice status\` on ${node}, or name another node with --peer`,
  );
}
