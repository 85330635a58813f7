/** The sample's shared volume: blue's containers on both nodes have one file system, and red finds no way to it. */
import { randomBytes } from 'node:crypto';
import type { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { openNetns } from '../../linux/netns.ts';
import { askTcp } from '../../linux/probe-sockets.ts';
import { SluiceError } from '../../model/errors.ts';
import { measured, type Timed } from '../verify/checks/row.ts';
import { findEndpoint, openDaemons } from '../verify/node-facts.ts';
import type { Check } from '../verify/report.ts';
import type { Running } from './running.ts';

const NAME = 'shared';
const OWNER = 'blue';
const STRANGER = 'red';
/** Where it is in blue's containers. */
export const DIRECTORY = '/data';
/** glusterd's (IANA); a brick's is one of those from 49152 on. */
const GLUSTER_PORT = 24_007;
const CONNECT_MS = 1_000;
/** On a slow machine Gluster takes its time to start. */
const LONGEST_MS = 120_000;
const NOT_FOUND = 4;
const REFUSED = 3;

/** Makes it, and mounts it in blue's containers that run already. */
export async function shareVolume(lab: Lab, containers: readonly Running[]): Promise<void> {
  const [first] = lab.nodes;
  if (first === undefined) throw new RangeError('a lab has a node');
  const size = ['--size', '1GiB', '--thin', '--timeout', String(LONGEST_MS / 1_000)];
  await succeed(first, ['volume', 'create', NAME, '--tenant', OWNER, ...size]);
  await Promise.all(
    containers
      .filter(({ tenant }) => tenant === OWNER)
      .map(async (one) => succeed(lab.node(one.node), await mountWords(one))),
  );
}

async function mountWords({ name, podman }: Running): Promise<string[]> {
  const pid = (await podman.call(['inspect', '--format', '{{.State.Pid}}', name])).trim();
  const whose = ['volume', 'mount', NAME, '--tenant', OWNER, '--container', name];
  return [...whose, '--at', DIRECTORY, '--pid', pid];
}

/** What was written on the one node is read on the other; what blue may, red may not. */
export async function proveVolume(
  { lab, containers }: { readonly lab: Lab; readonly containers: readonly Running[] },
  signal: AbortSignal,
): Promise<Check[]> {
  const one = (name: string): Running => {
    const found = containers.find((container) => container.name === name);
    if (found === undefined) throw new RangeError(`the sample has no container ${name}`);
    return found;
  };
  const there = await shared(one('b1'), one('b3'));
  const back = await shared(one('b3'), one('b2'));
  signal.throwIfAborted();
  const foreign = await Promise.all([
    foreignMount(lab, one('r2'), one('b3')),
    foreignToken(lab),
    foreignPort(lab, one('r1')),
    foreignPort(lab, one('r2')),
  ]);
  return [there, back, ...foreign];
}

function shared(from: Running, to: Running): Promise<Check> {
  const row = { id: 'shared-volume', from: labelOf(from), to: labelOf(to), path: 'volume' } as const;
  return measured({ ...row, expect: 'pass' }, async () => {
    const [file, word] = [`${DIRECTORY}/${from.name}`, randomBytes(8).toString('hex')];
    await from.podman.exec(from.name, ['sh', '-c', `echo ${word} >${file}`]);
    const read = (await to.podman.exec(to.name, ['cat', file])).trim();
    return read === word ? { got: 'pass' } : { got: 'drop', note: `it read ${JSON.stringify(read)}` };
  });
}

/** The node itself is asked, as root: whose a container is, the fence knows. */
function foreignMount(lab: Lab, red: Running, blue: Running): Promise<Check> {
  return kept(labelOf(red), async () => {
    const node = lab.node(red.node);
    const { code, stderr } = await node.sluice(await mountWords(red));
    if (code === 0) return { got: 'pass' };
    if (code !== REFUSED) return { got: 'error', note: stderr };
    // The same words for a container of blue's.
    const control = await lab.node(blue.node).sluice(await mountWords(blue));
    return control.code === 0 ? { got: 'drop' } : { got: 'error', note: `blue's own: ${control.stderr}` };
  });
}

function foreignToken(lab: Lab): Promise<Check> {
  return kept(`${STRANGER}'s token`, async () => {
    const [first] = lab.nodes;
    if (first === undefined) throw new RangeError('a lab has a node');
    const shown = async (tenant: string, named: readonly string[]): Promise<number | null> => {
      const token = await succeed(first, ['token', 'create', '--role', 'tenant', '--tenant', tenant]);
      const env = { SLUICE_SERVER: `${first.address}:7070`, SLUICE_TOKEN: token.trim() };
      return (await first.sluice(['volume', 'show', NAME, ...named], { env })).code;
    };
    const codes = [await shown(STRANGER, []), await shown(STRANGER, ['--tenant', OWNER])];
    if (codes.includes(0)) return { got: 'pass' };
    if ((await shown(OWNER, [])) !== 0) return { got: 'error', note: `${OWNER}'s own token shows nothing` };
    const isHidden = codes.every((code) => code === NOT_FOUND || code === REFUSED);
    return isHidden ? { got: 'drop' } : { got: 'error', note: `it ended with ${codes.join(' and ')}` };
  });
}

/** glusterd of both nodes, from inside; the nodes themselves must reach each other's. */
function foreignPort(lab: Lab, red: Running): Promise<Check> {
  return kept(`${labelOf(red)} by port ${GLUSTER_PORT}`, async () => {
    using daemons = openDaemons(lab.node(red.node).runDir);
    const { netns } = await findEndpoint(daemons, red.name);
    const reached = await Promise.all(lab.nodes.map((node) => reaches(netns, node)));
    if (reached.includes(true)) return { got: 'pass' };
    const [a, b] = lab.nodes;
    if (a === undefined || b === undefined) throw new RangeError('the sample has two nodes');
    const between = await Promise.all([reaches(a.netns, b), reaches(b.netns, a)]);
    return between.includes(false) ? { got: 'error', note: 'not even nodes reach it' } : { got: 'drop' };
  });
}

async function reaches(from: string, { address }: LabNode): Promise<boolean> {
  using netns = openNetns(from);
  const { state } = await askTcp(netns, { address, port: GLUSTER_PORT }, '', CONNECT_MS);
  return state === 'open' || state === 'answered';
}

function kept(from: string, work: () => Promise<Timed>): Promise<Check> {
  const to = `${OWNER}/${NAME}`;
  return measured({ id: 'other-tenant-volume', from, to, path: 'volume', expect: 'drop' }, work);
}

async function succeed(node: LabNode, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.sluice(words, { timeoutMs: 2 * LONGEST_MS });
  if (code === 0) return stdout;
  throw new SluiceError(
    'check_failed',
    `sluice ${words.join(' ')} on node ${node.name}: ${stderr || stdout}`,
    'see the logs of the nodes in the lab directory',
  );
}

function labelOf({ tenant, name }: Running): string {
  return `${tenant}/${name}`;
}
