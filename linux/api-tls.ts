/** The client for the cluster's server: TLS, its certificate known by fingerprint alone, a bearer token. */
import { createHash } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { SluiceError } from '../model/errors.ts';
import { type ApiClient, type ClientLimits, clientOver } from './api-client.ts';

export interface ServerAccess {
  /** host:port, as in `sluice up --join`. */
  readonly address: string;
  /** SHA-256 of the server's certificate (DER), base64url. */
  readonly fingerprint: string;
  /** What goes behind 'Bearer'. */
  readonly token: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** The server sends a heartbeat every 10 s: three missed ones mean that it, or the way to it, is gone. */
const SILENCE_MS = 30_000;

/**
 * The token leaves this machine only after the certificate has proved to be the expected one; no certificate
 * authority is asked, so none can be deceived.
 */
export function serverClient(access: ServerAccess, limits: ClientLimits = {}): ApiClient {
  const colon = access.address.lastIndexOf(':');
  const host = access.address.slice(0, colon);
  const port = Number(access.address.slice(colon + 1));
  const agent = new PinnedAgent(access.fingerprint);
  return clientOver({
    open: ({ headers, ...options }) =>
      httpsRequest({
        ...options,
        agent,
        host,
        port,
        headers: { ...(headers as Record<string, string>), authorization: `Bearer ${access.token}` },
      }),
    close: () => agent.destroy(),
    unreachable: (cause) =>
      new SluiceError(
        'unreachable',
        `the server does not answer on ${access.address}: ${(cause as Error).message}`,
        'check that it runs (sluice status there), its --listen address, and the network between',
        { cause },
      ),
    limits: { silenceMs: SILENCE_MS, ...limits },
  });
}

class PinnedAgent extends Agent {
  readonly #fingerprint: string;

  constructor(fingerprint: string) {
    // As in api-client.ts. Nodes ask seldom; what they follow is one long stream.
    super({ keepAlive: false });
    this.#fingerprint = fingerprint;
  }

  /** Hands the socket over only when the handshake is done and the certificate is the right one. */
  override createConnection(
    options: { readonly host?: string | null; readonly port?: number | string | null },
    done: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    // No session is ever resumed: a resumed handshake shows no certificate.
    const socket = connect({
      host: options.host ?? '',
      port: Number(options.port),
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
    });
    const fail = (error: Error): void => {
      socket.destroy();
      done(error, socket);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(new Error('no answer within 5 s')));
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      socket.removeListener('error', fail);
      if (fingerprintOf(socket) === this.#fingerprint) done(null, socket);
      else fail(impostor());
    });
    return undefined;
  }
}

function fingerprintOf(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate && createHash('sha256').update(certificate.raw).digest('base64url');
}

function impostor(): SluiceError {
  return new SluiceError(
    'refused',
    'the server showed another certificate than the token names',
    'take a new token from the right server; if this one is right, someone stands between',
  );
}
