/** Calls of the plugin for tests: a valid one, changed here and there. */

import { type AttachRequest, type CniRequest, parseRequest } from '../../cni/request.ts';
import { cniCodeOf, SluiceError } from '../../model/errors.ts';

export type Env = Record<string, string>;
export type Json = Record<string, unknown>;

export const ENV: Env = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: '3f6a0c',
  CNI_NETNS: '/run/netns/cart',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};
export const CONF: Json = { cniVersion: '1.1.0', name: 'tenants', type: 'sluice-cni' };

export function parse(conf: Json, env: Env = {}): CniRequest {
  return parseRequest({ ...ENV, ...env }, JSON.stringify({ ...CONF, ...conf }));
}

export function attach(conf: Json, env: Env = {}): AttachRequest {
  const request = parse(conf, env);
  if (request.command !== 'ADD' && request.command !== 'CHECK') throw new Error(`got ${request.command}`);
  return request;
}

export function wishes(runtimeConfig: Json, more: Json = {}, env: Env = {}): AttachRequest['wishes'] {
  return attach({ runtimeConfig, ...more }, env).wishes;
}

/** The CNI code and the message of the refusal. */
export function refusal(ask: () => unknown): { cni: number; message: string; hint: string } {
  try {
    ask();
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown;
    return { cni: cniCodeOf(thrown.code), message: thrown.message, hint: thrown.hint };
  }
  throw new Error('was not refused');
}
