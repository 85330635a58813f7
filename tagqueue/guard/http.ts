/** Recognises HTTP/1 by its request line, and reads whom the first request is for (RFC 9112 sections 3 and 5). */
import { domainOf, type Glimpse, NO } from './client-hello.ts';

/** PRI begins the preface of HTTP/2 without TLS (RFC 9113 section 3.4), whose names are compressed. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'PRI'];
const LONGEST_HEAD = 8_192;

/** @param bytes  a stream from its first byte on, as far as it has come */
export function readHttp(bytes: Buffer): Glimpse {
  const head = bytes.subarray(0, LONGEST_HEAD).toString('latin1');
  if (!METHODS.some((method) => head.startsWith(`${method} `) || `${method} `.startsWith(head))) return NO;
  const end = /\r?\n\r?\n/.exec(head);
  if (end === null) {
    return bytes.length >= LONGEST_HEAD ? NO : { state: 'more', bytes: bytes.length + 1 };
  }
  const [requestLine = '', ...fields] = head.slice(0, end.index).split(/\r?\n/);
  const request = /^[A-Z]+ (\S+) HTTP\/\d\.\d$/.exec(requestLine);
  if (request === null) return NO;
  return { state: 'found', domain: hostOf(request[1] ?? '', fields) };
}

/**
 * What servers could read in two ways names nobody: more than one Host, a field that is folded or has a space
 * before its colon, a target that names somebody else.
 */
function hostOf(target: string, fields: readonly string[]): string | null {
  if (fields.some((field) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/.test(field))) return null;
  const hosts = fields.filter((field) => /^host:/i.test(field)).map((field) => field.slice(5).trim());
  if (hosts.length > 1) return null;
  const inTarget = /^https?:\/\/([^/?#]*)/i.exec(target)?.[1];
  const names = [inTarget, hosts[0]].filter((name) => name !== undefined).map(withoutPort);
  const [name, other = name] = names;
  return name === undefined || other !== name ? null : name;
}

function withoutPort(authority: string): string | null {
  return domainOf(authority.replace(/:\d{0,5}$/, ''));
}
