/** Probes: `sluice verify` asks a peer to put up an endpoint for a short time. */
import * as z from 'zod';
import { ClusterNode, Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { Probe, ProbeId, ProbeRequest, ProbeStatus } from '../../model/probe.ts';
import type { Store } from '../../store/contract.ts';
import { mustRead, PATHS, readAll } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import type { Principal } from './principal.ts';

/** Each is an endpoint on some node; verify needs a handful. */
const MOST_AT_ONCE = 64;

const Named = z.strictObject({ id: ProbeId });

const create = operation({
  id: 'probe.create',
  method: 'POST',
  path: '/v1/probes',
  summary: 'Asks a node to put up an endpoint of a tenant; the server forgets it after ttlSeconds.',
  body: ProbeRequest,
  answer: Probe,
  status: 201,
  handle: async ({ store, mutate, now, random }, { who, body: { node, tenant, ttlSeconds } }) => {
    const id = random(8).toString('hex') as ProbeId;
    const lease = await store.grantLease(ttlSeconds * 1_000);
    const subject = `probe ${id} of tenant ${tenant} on node ${node}`;
    const probe = await mutate({ who, operation: 'probe.create', subject }, async () => {
      await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`);
      await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
      if ((await store.list(PATHS.probes)).entries.length >= MOST_AT_ONCE) throw tooMany();
      const result: Probe = { id, node, tenant, expiresAt: now() + ttlSeconds * 1_000, status: null };
      return { put: [{ key: keyOf(result), value: result, lease }], result };
    });
    return { json: probe };
  },
});

const show = operation({
  id: 'probe.show',
  method: 'GET',
  path: '/v1/probes/:id',
  summary: 'Shows a probe and what its node says of it.',
  params: Named,
  answer: Probe,
  handle: async ({ store }, { params: { id } }) => ({ json: await find(store, id) }),
});

const report = operation({
  id: 'probe.report',
  method: 'PUT',
  path: '/v1/probes/:id/status',
  summary: 'Tells how far the node is with the probe.',
  params: Named,
  body: ProbeStatus,
  answer: Probe,
  handle: async ({ store, mutate, now }, { who, params: { id }, body: status }) => {
    const known = await find(store, id);
    if (!concerns(who, known)) throw notYours(id);
    // A fresh lease for the time that is left: a put without one would keep the probe for ever.
    const lease = await store.grantLease(Math.max(0, known.expiresAt - now()));
    const probe = await mutate({ who, operation: 'probe.report', subject: `probe ${id}` }, async () => {
      const result: Probe = { ...(await find(store, id)), status };
      return { put: [{ key: keyOf(result), value: result, lease }], result };
    });
    return { json: probe };
  },
});

const remove = operation({
  id: 'probe.delete',
  method: 'DELETE',
  path: '/v1/probes/:id',
  summary: 'Ends a probe before its time.',
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { id } }) => {
    await mutate({ who, operation: 'probe.delete', subject: `probe ${id}` }, async () => {
      return { delete: [keyOf(await find(store, id))], result: undefined };
    });
    return { json: undefined };
  },
});

export const probeOperations: readonly Operation[] = [create, show, report, remove];

async function find(store: Store, id: ProbeId): Promise<Probe> {
  const probe = (await readAll(store, PATHS.probes, Probe)).find((one) => one.id === id);
  if (probe !== undefined) return probe;
  throw new SluiceError('not_found', `there is no probe ${id}`, 'it may have expired: create another');
}

/** On the server's own machine the node speaks as root. */
function concerns(who: Principal, probe: Probe): boolean {
  return who.role === 'root' || (who.role === 'node' && who.node === probe.node);
}

/** The node comes first, so that a node's watch can leave out the probes of others, deletions included. */
function keyOf({ node, id }: Probe): string {
  return `${PATHS.probes}${node}/${id}`;
}

function notYours(id: ProbeId): SluiceError {
  return new SluiceError(
    'refused',
    `probe ${id} is for another node`,
    'only the node it is for reports on it',
  );
}

function tooMany(): SluiceError {
  const hint = 'wait until they expire, or delete them';
  return new SluiceError('limited', `there are ${MOST_AT_ONCE} probes already`, hint);
}
