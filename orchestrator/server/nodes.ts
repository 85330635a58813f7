/** Nodes: how they come in, what they get, how they are forgotten. */
import * as z from 'zod';
import { Ipv4 } from '../../model/addresses.ts';
import { ClusterNode, ClusterSettings } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { JoinAnswer, JoinRequest, type Secret, type TokenId } from '../../model/join.ts';
import { Labels, ZoneName } from '../../model/limits.ts';
import { NodeName } from '../../model/names.ts';
import type { Store } from '../../store/contract.ts';
import { readRotation } from './key-state.ts';
import { mustRead, Owner, PATHS, read, readAll, StoredToken } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';
import { planKnownNode, planNewNode } from './plan-node.ts';
import { nameOf, type Principal } from './principal.ts';
import { beginning } from './rotator.ts';
import { hashOf, matches, newTokenId } from './secrets.ts';

const Named = z.strictObject({ node: NodeName });
const Registered = z.strictObject({ node: ClusterNode, settings: ClusterSettings });

const join = operation({
  id: 'node.join',
  method: 'POST',
  path: '/v1/nodes/join',
  summary: 'Lets a machine in with a join token; asked again with the same secret, it answers the same.',
  body: JoinRequest,
  answer: JoinAnswer,
  status: 201,
  handle: async ({ store, mutate, now, random }, { who, body }) => {
    const answer = await mutate({ who, operation: 'node.join', subject: `node ${body.node}` }, async () => {
      const { settings, known, others } = await readNodes(store, body.node);
      const token = await credentialOf(store, body.node);
      if (known !== undefined && token !== undefined && matches(body.secret, token.hash)) {
        const node = planKnownNode(known, body, others, settings);
        return { put: [nodePut(node)], result: { id: token.id, node, settings } };
      }
      if (known !== undefined) throw nameTaken(body.node);
      const node = planNewNode(body, others, settings, now());
      const fresh = credential(newTokenId(random), body.secret, body.node, now(), who);
      const put = [
        nodePut(node),
        { key: PATHS.owners + node.node, value: { token: fresh.id } },
        { key: PATHS.tokens + fresh.id, value: fresh },
      ];
      return { put, result: { id: fresh.id, node, settings } };
    });
    return { json: answer };
  },
});

const register = operation({
  id: 'node.register',
  method: 'PUT',
  path: '/v1/nodes/:node',
  summary: "Registers the server's own machine as a node, or tells what a node's uplink is now.",
  params: Named,
  body: z.strictObject({
    uplinkAddress: Ipv4,
    nic: z.boolean().optional(),
    zone: ZoneName.nullable().optional(),
    labels: Labels.optional(),
  }),
  answer: Registered,
  handle: async ({ store, mutate, now }, { who, params: { node: name }, body: uplink }) => {
    const registered = await mutate(
      { who, operation: 'node.register', subject: `node ${name}` },
      async () => {
        const { settings, known, others } = await readNodes(store, name);
        const owner = await read(store, PATHS.owners + name, Owner);
        if (owner !== undefined && !owns(who, owner)) throw nameTaken(name);
        if (known !== undefined) {
          const node = planKnownNode(known, uplink, others, settings);
          return { put: [nodePut(node)], result: { node, settings } };
        }
        if (who.role !== 'root') throw nameTaken(name);
        const node = planNewNode({ node: name, ...uplink }, others, settings, now());
        const put = [nodePut(node), { key: PATHS.owners + name, value: { token: null } }];
        return { put, result: { node, settings } };
      },
    );
    return { json: registered };
  },
});

const list = operation({
  id: 'node.list',
  method: 'GET',
  path: '/v1/nodes',
  summary: 'Lists nodes by name.',
  query: PageQuery,
  answer: pageOf(ClusterNode),
  handle: ({ store }, { query }) => listPage(store, PATHS.nodes, query, ClusterNode),
});

const show = operation({
  id: 'node.show',
  method: 'GET',
  path: '/v1/nodes/:node',
  summary: 'Shows one node.',
  params: Named,
  answer: ClusterNode,
  handle: async ({ store }, { params: { node } }) => ({
    json: await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`),
  }),
});

const remove = operation({
  id: 'node.delete',
  method: 'DELETE',
  path: '/v1/nodes/:node',
  summary:
    "Forgets a node: its credential ends at once and its blocks are free. Stop the node's containers first.",
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate, now, rotator, limits, storage }, { who, params: { node } }) => {
    await mutate({ who, operation: 'node.delete', subject: `node ${node}` }, async () => {
      await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`);
      const token = await credentialOf(store, node);
      const probes = await store.list(`${PATHS.probes}${node}/`);
      // The keys it knows end too, without haste: who must be out at once is fenced first.
      const change = beginning(await readRotation(store), false, now(), undefined);
      return {
        ...change,
        delete: [
          PATHS.nodes + node,
          PATHS.owners + node,
          ...(token === undefined ? [] : [PATHS.tokens + token.id]),
          ...probes.entries.map((entry) => entry.key),
        ],
      };
    });
    limits.forget(node);
    storage.forgetNode(node);
    rotator.begun();
    return { json: undefined };
  },
});

export const nodeOperations: readonly Operation[] = [join, register, list, show, remove];

interface Known {
  readonly settings: ClusterSettings;
  readonly known: ClusterNode | undefined;
  readonly others: readonly ClusterNode[];
}

async function readNodes(store: Store, name: NodeName): Promise<Known> {
  const settings = await mustRead(store, PATHS.settings, ClusterSettings, 'cluster');
  const nodes = await readAll(store, PATHS.nodes, ClusterNode);
  return {
    settings,
    known: nodes.find(({ node }) => node === name),
    others: nodes.filter(({ node }) => node !== name),
  };
}

/** The token that proves this node; undefined for the server's own machine and when it was revoked. */
async function credentialOf(store: Store, node: NodeName): Promise<StoredToken | undefined> {
  const owner = await read(store, PATHS.owners + node, Owner);
  return owner === undefined || owner.token === null
    ? undefined
    : read(store, PATHS.tokens + owner.token, StoredToken);
}

function owns(who: Principal, owner: Owner): boolean {
  return who.role === 'root' ? owner.token === null : who.id === owner.token;
}

function credential(id: TokenId, secret: Secret, node: NodeName, now: number, who: Principal): StoredToken {
  return {
    id,
    role: 'node',
    node,
    tenant: null,
    hash: hashOf(secret),
    createdAt: now,
    createdBy: nameOf(who),
    expiresAt: null,
  };
}

function nodePut(node: ClusterNode): { key: string; value: ClusterNode } {
  return { key: PATHS.nodes + node.node, value: node };
}

function nameTaken(node: NodeName): SluiceError {
  return new SluiceError(
    'already_exists',
    `another machine is node ${node}`,
    `choose another name, or, if that machine is gone for good: sluice node remove ${node}`,
  );
}
