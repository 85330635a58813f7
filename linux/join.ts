/** Makes this machine a node of a cluster, in a way that can be repeated whenever it was cut short. */
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import type { Ipv4 } from '../model/addresses.ts';
import { ClusterNode, ClusterSettings } from '../model/cluster.ts';
import { SluiceError } from '../model/errors.ts';
import {
  bearerOf,
  JoinAnswer,
  type JoinRequest,
  type NodeCredential,
  parseToken,
  type Secret,
  type Token,
} from '../model/join.ts';
import type { Labels } from '../model/limits.ts';
import type { NodeName } from '../model/names.ts';
import type { ApiClient } from './api-client.ts';
import { serverClient } from './api-tls.ts';
import { readCredential, saveCredential } from './credential.ts';

export interface JoinOptions {
  /** host:port of the server. */
  readonly server: string;
  /** As `sluice token create --role node` printed it; not needed once the machine has joined. */
  readonly token: string | undefined;
  readonly node: NodeName;
  readonly uplinkAddress: Ipv4;
  /** Where the credential is kept. */
  readonly stateDir: string;
}

/**
 * A machine that has joined already is not joined again, and the server is not asked: it may be away.
 *
 * @throws SluiceError `unreachable`, `unauthenticated` (token expired), `already_exists` (the name is another's),
 *   `refused` (this machine belongs to another cluster, or has another name there)
 */
export async function joinCluster(options: JoinOptions): Promise<NodeCredential> {
  const token = options.token === undefined ? undefined : parseToken(options.token);
  const kept = readCredential(options.stateDir);
  if (kept !== undefined) checkSame(kept, options, token);
  if (kept !== undefined && kept.id !== null) return moved(kept, options);
  if (token === undefined) throw tokenMissing();
  // Saved before it is sent: whatever is lost on the way, the next attempt has the same secret.
  const asked: NodeCredential = {
    server: options.server,
    fingerprint: token.fingerprint,
    node: options.node,
    secret: kept?.secret ?? (randomBytes(32).toString('base64url') as Secret),
    id: null,
  };
  saveCredential(options.stateDir, asked);
  const { id } = await askToJoin(options, token, asked.secret);
  const credential = { ...asked, id };
  saveCredential(options.stateDir, credential);
  return credential;
}

/** The client a node speaks to its server with. @throws SluiceError `not_ready` when joining was never finished. */
export function nodeClient({ server, fingerprint, id, secret }: NodeCredential): ApiClient {
  if (id === null)
    throw new SluiceError('not_ready', 'this machine has not joined yet', 'sluice up --join … --token …');
  return serverClient({ address: server, fingerprint, token: bearerOf({ id, secret }) });
}

/** The client of an operator far away: SLUICE_SERVER and SLUICE_TOKEN. @throws SluiceError `invalid_request` */
export function operatorClient(server: string, tokenText: string): ApiClient {
  const token = parseToken(tokenText);
  return serverClient({ address: server, fingerprint: token.fingerprint, token: bearerOf(token) });
}

const Registered = z.strictObject({ node: ClusterNode, settings: ClusterSettings });

/** What is left out stays as the server has it. */
export interface NodeWords {
  /** Whether the uplink is a network card. */
  readonly nic?: boolean;
  readonly zone?: string | null;
  readonly labels?: Labels;
}

/**
 * Tells the server what this node's uplink is, and what switches choose it by. The server's own machine becomes a node by it.
 * @throws SluiceError what the server says, or `unreachable`
 */
export async function registerNode(
  client: Pick<ApiClient, 'request'>,
  node: NodeName,
  uplinkAddress: Ipv4,
  more: NodeWords = {},
): Promise<z.infer<typeof Registered>> {
  return Registered.parse(await client.request('PUT', `/v1/nodes/${node}`, { uplinkAddress, ...more }));
}

async function askToJoin(options: JoinOptions, token: Token, secret: Secret): Promise<JoinAnswer> {
  const client = serverClient({
    address: options.server,
    fingerprint: token.fingerprint,
    token: bearerOf(token),
  });
  try {
    const request: JoinRequest = { node: options.node, uplinkAddress: options.uplinkAddress, secret };
    return JoinAnswer.parse(await client.request('POST', '/v1/nodes/join', request));
  } finally {
    client.close();
  }
}

function checkSame(kept: NodeCredential, options: JoinOptions, token: Token | undefined): void {
  if (kept.node === options.node && (token === undefined || token.fingerprint === kept.fingerprint)) return;
  // Nothing has come of an unfinished attempt, so it may be given up for another.
  if (kept.id === null) return;
  throw new SluiceError(
    'refused',
    `this machine is node ${kept.node} of the cluster at ${kept.server}`,
    'use that name and a token of that cluster, or leave it first: sluice uninstall',
  );
}

/** The server may have got another address; its certificate says that it is the same one. */
function moved(kept: NodeCredential, { server, stateDir }: JoinOptions): NodeCredential {
  if (kept.server === server) return kept;
  const credential = { ...kept, server };
  saveCredential(stateDir, credential);
  return credential;
}

function tokenMissing(): SluiceError {
  const hint = 'on the server: sluice token create --role node; here: --token with what it prints';
  return new SluiceError('invalid_request', 'joining a cluster takes a join token', hint);
}
