/** CNI_ARGS: the key-value pairs a runtime adds to one call (CNI conventions, 'CNI_ARGS'). */
import * as z from 'zod';
import { type Ipv4, Mac } from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';
import { AppName, Labels } from '../model/limits.ts';
import { ContainerName, NamespaceName, TenantName } from '../model/names.ts';
import { quoted } from './error.ts';
import { AddressWish } from './wishes.ts';

/** What CNI_ARGS said; null for what it did not say. */
export interface CniArgs {
  /** SLUICE_TENANT. Counts only where the network says `trustArgs` (tenant.ts). */
  readonly tenant: TenantName | null;
  /** SLUICE_APP. Counts, like SLUICE_LABELS, only where the network says `trustArgs`. */
  readonly app: string | null;
  /** SLUICE_LABELS: KEY=VALUE,KEY=VALUE. */
  readonly labels: Labels | null;
  /** SLUICE_NAME. */
  readonly name: ContainerName | null;
  /** IP, as from `podman run --ip`. */
  readonly ip: Ipv4 | null;
  /** MAC, as from `podman run --mac-address`. */
  readonly mac: Mac | null;
  /** K8S_POD_NAMESPACE, from CRI runtimes. */
  readonly podNamespace: NamespaceName | null;
  /** K8S_POD_NAME; podman gives its container's name here. */
  readonly podName: string | null;
}

/** A DNS subdomain to Kubernetes; podman also allows capitals and '_'. */
const PodName = z
  .string()
  .max(253)
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'must be a pod or container name');

/** A ',' between them: a ';' would end the argument. */
const LabelList = z.string().transform((text, context): Labels => {
  const pairs = text.split(',').map((pair) => pair.split('='));
  const twice = new Set(pairs.map(([key]) => key)).size < pairs.length;
  const labels = Labels.safeParse(Object.fromEntries(pairs.map(([key, ...rest]) => [key, rest.join('=')])));
  if (labels.success && !twice) return labels.data;
  const message = twice ? 'names a label twice' : 'must be labels such as tier=web,zone=front';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const VALUES = {
  SLUICE_TENANT: TenantName,
  SLUICE_APP: AppName,
  SLUICE_LABELS: LabelList,
  SLUICE_NAME: ContainerName,
  IP: AddressWish,
  MAC: Mac,
  K8S_POD_NAMESPACE: NamespaceName,
  K8S_POD_NAME: PodName,
} as const;
type Value = keyof typeof VALUES;

/** Known, so that a runtime may give them without IgnoreUnknown, and of no use to us. */
const UNUSED = ['K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID'];

const HINT = 'correct CNI_ARGS, KEY=VALUE;KEY=VALUE; docs/cni.md lists the keys';

/**
 * @param text  CNI_ARGS; undefined and empty mean none
 * @throws SluiceError `invalid_environment`: no pairs, an unknown key without IgnoreUnknown, a bad value,
 *   or a key with two values (libcni joins the arguments of several sources, and 'the last one wins'
 *   must not decide whose container it is)
 */
export function parseArgs(text: string | undefined): CniArgs {
  const pairs = readPairs(text ?? '');
  const ignoreUnknown = readBoolean(pairs.get('IgnoreUnknown') ?? 'false');
  pairs.delete('IgnoreUnknown');
  const unknown = [...pairs.keys()].filter((key) => !Object.hasOwn(VALUES, key) && !UNUSED.includes(key));
  if (unknown.length > 0 && !ignoreUnknown) {
    throw refusal(`has unknown keys ${unknown.map(quoted).join(', ')}`, `${HINT}, or add IgnoreUnknown=1`);
  }
  return {
    tenant: read(pairs, 'SLUICE_TENANT'),
    app: read(pairs, 'SLUICE_APP'),
    labels: read(pairs, 'SLUICE_LABELS'),
    name: read(pairs, 'SLUICE_NAME'),
    ip: read(pairs, 'IP'),
    mac: read(pairs, 'MAC'),
    podNamespace: read(pairs, 'K8S_POD_NAMESPACE'),
    podName: read(pairs, 'K8S_POD_NAME'),
  };
}

function readPairs(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(';').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) throw refusal(`holds ${quoted(pair)}, which is not KEY=VALUE`);
    const key = pair.slice(0, equals);
    const value = pair.slice(equals + 1);
    if (key !== 'IgnoreUnknown' && (pairs.get(key) ?? value) !== value)
      throw refusal(`gives ${quoted(key)} two values`);
    pairs.set(key, value);
  }
  return pairs;
}

function readBoolean(text: string): boolean {
  const lower = text.toLowerCase();
  if (lower === '1' || lower === 'true') return true;
  if (lower === '0' || lower === 'false') return false;
  throw refusal(`gives IgnoreUnknown ${quoted(text)}, which is not a boolean`);
}

function read<K extends Value>(
  pairs: ReadonlyMap<string, string>,
  key: K,
): z.output<(typeof VALUES)[K]> | null {
  const value = pairs.get(key);
  if (value === undefined) return null;
  // A CRI runtime that has nothing to say sends its keys empty; ours, sent empty, are a forgotten variable.
  if (value === '' && key.startsWith('K8S_')) return null;
  const parsed = VALUES[key].safeParse(value);
  if (parsed.success) return parsed.data as z.output<(typeof VALUES)[K]>;
  const reason = parsed.error.issues.map((issue) => issue.message).join('; ');
  throw refusal(`gives ${key} ${quoted(value)}: ${reason}`);
}

function refusal(what: string, hint: string = HINT): SluiceError {
  return new SluiceError('invalid_environment', `CNI_ARGS ${what}`, hint);
}
