/** What relay.c sends: one HTTP request per call of the plugin. This is the other end of that wire. */
import { SluiceError } from '../model/errors.ts';
import type { Environment } from './environment.ts';
import { quoted } from './error.ts';

/** The request line is `POST /cni`; 200 makes the plugin exit with 0, any other status with 1. */
export const CNI_ROUTE = '/cni';

/** 7 variables of at most 4096 bytes, threefold in percent-encoding, and room for the rest of the head. */
export const MAX_HEADER_BYTES = 96 * 1024;

/** The relay refuses longer input itself. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** Header name of each variable, in Node's lower case. */
const VARIABLES = {
  'cni-command': 'CNI_COMMAND',
  'cni-containerid': 'CNI_CONTAINERID',
  'cni-netns': 'CNI_NETNS',
  'cni-ifname': 'CNI_IFNAME',
  'cni-args': 'CNI_ARGS',
  'cni-path': 'CNI_PATH',
  'cni-netns-override': 'CNI_NETNS_OVERRIDE',
} as const;

/** An open descriptor of the relay, which lives until it has its answer: /proc/PID/fd/FD. */
export interface NetnsHandle {
  readonly pid: number;
  readonly fd: number;
}

/** One call of the plugin, ready for `parseRequest`. */
export interface RelayedCall {
  readonly env: Environment;
  readonly stdin: string;
  /**
   * The container's namespace as the relay opened it; null when there was none to open. Only its target
   * may be trusted, and only after a look at it: the pid is of the relay's own pid namespace.
   */
  readonly netns: NetnsHandle | null;
}

export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * @param headers  names in lower case, as node:http gives them
 * @throws SluiceError `invalid_environment`, `invalid_json` for what is not UTF-8
 */
export function readRelayedCall(headers: Headers, body: Uint8Array): RelayedCall {
  const env: Record<string, string> = {};
  for (const [header, variable] of Object.entries(VARIABLES)) {
    const value = headers[header];
    if (value !== undefined) env[variable] = decodeVariable(variable, value);
  }
  return { env, stdin: decodeBody(body), netns: readHandle(headers['cni-netns-fd']) };
}

function decodeVariable(variable: string, value: string | readonly string[]): string {
  const text = orUndefined(() => decodeURIComponent(String(value)));
  if (text !== undefined) return text;
  const message = `${variable} is not UTF-8: ${quoted(value)}`;
  throw new SluiceError('invalid_environment', message, 'give it as UTF-8');
}

function decodeBody(body: Uint8Array): string {
  const text = orUndefined(() => new TextDecoder('utf-8', { fatal: true }).decode(body));
  if (text !== undefined) return text;
  const hint = 'JSON is UTF-8 (RFC 8259, section 8.1)';
  throw new SluiceError('invalid_json', 'the network configuration is not UTF-8', hint);
}

/** The decoders of the language throw errors of several kinds; here all of them mean 'not decodable'. */
function orUndefined<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

function readHandle(value: string | readonly string[] | undefined): NetnsHandle | null {
  if (value === undefined) return null;
  const [, pid, fd] = /^([1-9]\d{0,9}):(\d{1,7})$/.exec(String(value)) ?? [];
  if (pid !== undefined && fd !== undefined) return { pid: Number(pid), fd: Number(fd) };
  const message = `Cni-Netns-Fd is ${quoted(value)}, not PID:FD`;
  throw new SluiceError('invalid_environment', message, 'use the sluice-cni of this version');
}
