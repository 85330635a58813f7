/** A node in a lab whose plugin is called as a black box, and everything that a call could leave behind on it. */
import { thisCheckout } from '../../lab/checkout.ts';
import { type CniCall, type CniOutcome, type CniVerb, NETWORK } from '../../lab/cni.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { batch, netnsPath } from '../../lab/network.ts';
import type { LabNode, StartOptions } from '../../lab/node.ts';
import { localClient, type Method } from '../../linux/api-client.ts';
import { mapEntries } from '../../linux/bpf.ts';
import { run } from '../../linux/process.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { tableName } from '../../netd/names.ts';
import { publishedWordsOf } from '../../netd/ruleset.ts';
import { decodePort, indexOfKey } from '../../tagqueue/maps.ts';
import { pinDirectoryOf, requireMap } from '../../tagqueue/pins.ts';

/** What a runtime has before it calls ADD: an id, and a network namespace with nothing in it. */
export interface Sandbox {
  readonly id: string;
  readonly namespace: string;
  readonly netns: string;
}

/** A call with what names the container left out. */
export type Wish = Omit<CniCall, 'containerId' | 'netns'>;

export interface VerbsLab {
  readonly lab: Lab;
  readonly node: LabNode;
  /** An id and a namespace that no other case has. They go with the lab. */
  sandbox(): Promise<Sandbox>;
  cni(verb: CniVerb, sandbox: Partial<Sandbox>, wish?: Wish): Promise<CniOutcome>;
  /** The call must succeed. @returns what it printed */
  done<T = CniResult>(verb: CniVerb, sandbox: Partial<Sandbox>, wish?: Wish): Promise<T>;
  /** netd's records of a container; empty when there are none. */
  recorded(sandbox: Sandbox): Promise<Endpoint[]>;
}

/** A successful ADD (CNI 1.1, 'ADD Success'). */
export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces: readonly { name: string; mac?: string; mtu?: number; sandbox?: string }[];
  readonly ips: readonly { address: string; gateway: string; interface: number; version?: string }[];
  readonly routes: readonly { dst: string; gw?: string }[];
  readonly dns?: Readonly<Record<string, unknown>>;
}

/** One node, two tenants, and the pods' namespace `shop`, which belongs to green. */
export async function openVerbsLab(
  prefix: string,
  network: NonNullable<StartOptions['config']>['network'] = {},
): Promise<VerbsLab> {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  const lab = await createLab({ prefix, nodes: ['a'] });
  try {
    await lab.start({ network });
    await lab.tenant('blue');
    await lab.tenant('green');
    const node = lab.node('a');
    const mapped = await node.sluice(['namespace', 'set', 'shop', 'green', '--json']);
    if (mapped.code !== 0) throw new Error(`sluice namespace set: ${mapped.stdout}${mapped.stderr}`);
    return verbsOn(lab, node);
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** The verbs on one node of a lab that is up. */
export function verbsOn(lab: Lab, node: LabNode): VerbsLab {
  let sandboxes = 0;
  const cni: VerbsLab['cni'] = (verb, { id, netns }, { args, conf, ...wish } = {}) =>
    node.cni(verb, {
      ...wish,
      ...(id !== undefined && { containerId: id }),
      ...(netns !== undefined && { netns }),
      ...(args !== undefined && { args }),
      conf: { tenant: 'blue', ...conf },
    });
  return {
    lab,
    node,
    cni,
    async sandbox() {
      const id = `case-${++sandboxes}`;
      const namespace = `${lab.prefix}.${node.name}-${id}`;
      await batch([`netns add ${namespace}`]);
      return { id, namespace, netns: netnsPath(namespace) };
    },
    async done(verb, sandbox, wish) {
      const { code, json } = await cni(verb, sandbox, wish);
      if (code !== 0) throw new Error(`${verb}: ${JSON.stringify(json)}`);
      return json as never;
    },
    async recorded({ id }) {
      return (await endpointsOf(node)).filter(({ containerId }) => containerId === id);
    },
  };
}

/** Calls the plugin with an environment and an input that no runtime would make. */
export async function rawCall(
  { node }: VerbsLab,
  env: Readonly<Record<string, string>>,
  stdin: string,
): Promise<CniOutcome> {
  const { code, stdout } = await run([thisCheckout().plugin], {
    env: { SLUICE_RUN_DIR: node.runDir, ...env },
    stdin,
  });
  return { code, json: stdout === '' ? undefined : JSON.parse(stdout) };
}

/** The network configuration of an unremarkable call, as text. */
export function confText({ node }: VerbsLab, more: object = {}): string {
  return JSON.stringify({ ...NETWORK, runDir: node.runDir, tenant: 'blue', ...more });
}

/** What an error of the specification holds, and nothing besides. */
export function cniErrorOf(code: number, message: RegExp | string, cniVersion = '1.1.0'): CniOutcome {
  const msg = typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message);
  return { code: 1, json: { cniVersion, code, msg, details: expect.stringMatching(/\w{3}/) } };
}

/** One request to netd's own socket. */
export async function askNetd<T>({ runDir }: LabNode, method: Method, path: string): Promise<T> {
  const netd = localClient(`${runDir}/netd.sock`);
  try {
    return (await netd.request(method, path)) as T;
  } finally {
    netd.close();
  }
}

export async function endpointsOf(node: LabNode): Promise<Endpoint[]> {
  return (await askNetd<{ endpoints: Endpoint[] }>(node, 'GET', '/v1/endpoints')).endpoints;
}

/** Everything on a node that attachments put there; two looks compare with toEqual. */
export interface Residue {
  readonly links: readonly string[];
  readonly neighbours: readonly string[];
  /** Elements of the maps of published ports. */
  readonly published: readonly string[];
  /** Entries of the fence's map, by interface index. */
  readonly bindings: readonly string[];
  readonly endpoints: readonly string[];
}

export async function residue(node: LabNode): Promise<Residue> {
  const [links, neighbours, table, endpoints] = await Promise.all([
    node.exec(['ip', '-j', 'link']),
    node.exec(['ip', '-j', 'neigh', 'show', 'nud', 'permanent']),
    node.exec(['nft', '-j', 'list', 'table', 'ip', tableName(node.name)]),
    endpointsOf(node),
  ]);
  return {
    links: list<{ ifname: string }>(links, ({ ifname }) => ifname),
    neighbours: list<{ dst: string; dev: string }>(neighbours, ({ dst, dev }) => `${dst} on ${dev}`),
    published: (JSON.parse(table).nftables as Record<string, unknown>[])
      .flatMap((object) => publishedWordsOf([object]))
      .sort(),
    bindings: bindingsOf(node),
    endpoints: endpoints.map(({ containerId, ifName, phase }) => `${containerId}/${ifName} ${phase}`).sort(),
  };
}

function bindingsOf({ runDir, name }: LabNode): string[] {
  using ports = requireMap(pinDirectoryOf(runDir, name), 'ports_by_index');
  return mapEntries(ports)
    .map(([key, value]) => `${indexOfKey(key)}: ${decodePort(value).address}`)
    .sort();
}

/** ip(8) prints nothing at all where it has nothing to list. */
function list<T>(json: string, word: (one: T) => string): string[] {
  return ((json.trim() === '' ? [] : JSON.parse(json)) as T[]).map(word).sort();
}

/** One interface as the container sees it. */
export interface SeenLink {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly operstate: string;
  readonly addr_info: readonly { family: string; local: string; prefixlen: number }[];
}

/** Interfaces in a namespace, without the loopback. */
export async function inside({ namespace }: Sandbox): Promise<SeenLink[]> {
  const { stdout } = await run(['ip', '-n', namespace, '-j', 'addr']);
  return (JSON.parse(stdout) as SeenLink[]).filter(({ ifname }) => ifname !== 'lo');
}

/** Destinations of the IPv4 routes in a namespace. */
export async function routesIn({ namespace }: Sandbox): Promise<string[]> {
  const { stdout } = await run(['ip', '-n', namespace, '-j', 'route']);
  return list<{ dst: string }>(stdout, ({ dst }) => dst);
}
