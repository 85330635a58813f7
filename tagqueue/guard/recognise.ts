/** From a flow's first bytes to what it is and whom it asks for. */
import type { GuardProtocol } from '../../model/guard.ts';
import type { Glimpse } from './client-hello.ts';
import { readDns, readDnsStream } from './dns.ts';
import { readHttp } from './http.ts';
import { readSsh } from './ssh.ts';
import { readTls } from './tls.ts';

/** What a flow has turned out to be. */
export interface Recognised {
  readonly protocol: GuardProtocol;
  /** The name asked for; null where there is none. */
  readonly domain: string | null;
}

export const OTHER: Recognised = { protocol: 'other', domain: null };

const DNS_PORT = 53;

const STREAMS: readonly (readonly [GuardProtocol, (bytes: Buffer) => Glimpse])[] = [
  ['tls', readTls],
  ['http', readHttp],
  ['ssh', readSsh],
];

/**
 * @param bytes  what a TCP client has said since the first byte
 * @param port   its destination: two bytes of length would fit too many other things, so DNS is looked for at 53 only
 * @returns      undefined as long as it cannot be known
 */
export function recogniseStream(bytes: Buffer, port: number): Recognised | undefined {
  let open = false;
  for (const [protocol, read] of port === DNS_PORT ? [['dns', readDnsStream] as const] : STREAMS) {
    const glimpse = read(bytes);
    if (glimpse.state === 'found') return { protocol, domain: glimpse.domain };
    open ||= glimpse.state === 'more';
  }
  return open ? undefined : OTHER;
}

/** @returns what one datagram shows alone; QUIC may take several (quic.ts). */
export function recogniseDatagram(datagram: Buffer): Recognised {
  const dns = readDns(datagram);
  return dns.state === 'found' ? { protocol: 'dns', domain: dns.domain } : OTHER;
}
