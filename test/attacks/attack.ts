/**
 * One attack as a test: what is sent, who must not see any of it, and the proof that they would have.
 *
 * Behind every attack the same sockets carry allowed packets, and the test waits for them: red's reach red, so
 * the attacker's means of sending work; blue's reach blue, so the victims' means of seeing work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { localClient } from '../../linux/api-client.ts';
import type { PacketSocket } from '../../linux/packet.ts';
import type { DropCount } from '../../tagqueue/drops.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { type Expected, greeting, sendPaced } from './traffic.ts';
import type { Member, Nic, NodeLetter, World } from './world.ts';

/** Attacks that are registered in every variant they make sense in. */
export type Suite = (world: () => World) => void;

export interface Attack {
  /** The attack's number in docs/security.md. */
  readonly id: string;
  readonly name: string;
  /** The frames, when they are sent from one interface. */
  readonly from?: (world: World) => Pick<Nic, 'socket'> | { readonly socket: PacketSocket };
  readonly frames?: (world: World) => readonly Buffer[];
  /** Anything else that is tried. @returns how many attempts it were */
  readonly act?: (world: World) => Promise<number> | number;
  /** Whom nothing may reach; default: every interface of blue. */
  readonly victims?: (world: World) => readonly Nic[];
  /**
   * Why the programs must have refused every attempt, and on which node (default a). Leave it out where something
   * else stops the attack: the bridge, the routing table, nftables.
   */
  readonly dropped?: {
    readonly by: DropReason | readonly DropReason[];
    readonly on?: NodeLetter;
    readonly times?: number;
  };
}

const PATIENCE_MS = 5_000;
const POLL_MS = 5;

/** Registers the test. */
export function attack(getWorld: () => World, one: Attack): void {
  it(`${one.id}: ${one.name}`, async () => {
    const world = getWorld();
    const victims = (one.victims ?? blueNics)(world);
    for (const { socket } of victims) socket.take();
    const dropsBefore = await refusals(world, one);

    const tried = await attempt(world, one);
    const arrived = await framesBeforeControls(world, victims);
    const refused = await waitForRefusals(world, one, dropsBefore, tried);
    arrived.push(...strays(victims));

    report(world, one, tried, arrived.length, refused);
    expect(tried).toBeGreaterThan(0);
    expect(arrived).toEqual([]);
  });
}

async function attempt(world: World, { from, frames, act }: Attack): Promise<number> {
  if (act !== undefined) return act(world);
  const all = frames?.(world) ?? [];
  await sendPaced(from!(world).socket, all);
  return all.length;
}

export const everyNic = (members: Readonly<Record<string, Member>>): Nic[] =>
  Object.values(members).flatMap(({ internal, external }) => [internal, external]);
export const blueNics = (world: World): Nic[] => everyNic(world.blue);

/** Allowed traffic that must get through afterwards: within each tenant, on each side, on both nodes and between them. */
function controls({ red, blue }: World): Expected[] {
  return [red, blue].flatMap(({ a1, a2, b1, b2 }) => [
    ...[greeting(a1.internal, a2.internal), greeting(a2.internal, a1.internal)],
    ...[greeting(b1.internal, b2.internal), greeting(b2.internal, b1.internal)],
    ...[greeting(a1.external, a2.external), greeting(a2.external, a1.external)],
    ...[greeting(b1.external, b2.external), greeting(b2.external, b1.external)],
    ...[greeting(a1.internal, b1.internal), greeting(b1.internal, a1.internal)],
  ]);
}

/**
 * Sends the controls and waits for each of them.
 * @returns what else the victims have received until then, in hex
 */
export async function framesBeforeControls(world: World, victims: readonly Nic[]): Promise<string[]> {
  const arrived: string[] = [];
  const expected = controls(world);
  const isControl = (bytes: Buffer): boolean => expected.some(({ marker }) => bytes.includes(marker));
  for (const one of expected) {
    one.send();
    const seen = await one.to.socket.next(({ bytes, outgoing }) => {
      if (bytes.includes(one.marker)) return !outgoing;
      if (!outgoing && victims.includes(one.to) && !isControl(bytes))
        arrived.push(`${one.to.name}: ${bytes.toString('hex')}`);
      return false;
    }, PATIENCE_MS);
    if (seen === undefined)
      throw new Error(`the allowed packet from ${one.from.name} to ${one.to.name} did not come`);
  }
  return arrived;
}

/** What came in since. */
function strays(victims: readonly Nic[]): string[] {
  return victims.flatMap(({ name, socket }) =>
    socket
      .take()
      .filter(({ outgoing }) => !outgoing)
      .map(({ bytes }) => `${name}: ${bytes.toString('hex')}`),
  );
}

/** The node's counters, as the daemon tells them to `sluice drops`. */
export async function dropsOn(world: World, node: NodeLetter): Promise<ReadonlyMap<DropReason, number>> {
  const client = localClient(`${world.lab.node(node).runDir}/tagqueue.sock`);
  try {
    const { drops } = (await client.request('GET', '/v1/drops')) as { drops: DropCount[] };
    return new Map(drops.map(({ reason, packets }) => [reason, packets]));
  } finally {
    client.close();
  }
}

/** Everything that both nodes' programs have refused so far. */
export async function totalDrops(world: World): Promise<number> {
  const counts = [...(await dropsOn(world, 'a')).values(), ...(await dropsOn(world, 'b')).values()];
  return counts.reduce((sum, packets) => sum + packets, 0);
}

async function refusals(world: World, { name, dropped }: Attack): Promise<number> {
  if (dropped === undefined || isUncounted(world, name)) return 0;
  const counts = await dropsOn(world, dropped.on ?? 'a');
  return [dropped.by].flat().reduce((sum, reason) => sum + (counts.get(reason) ?? 0), 0);
}

function isUncounted({ variant }: World, name: string): boolean {
  return variant.uncounted.includes(name);
}

/** Frames may wait in a queue of the kernel for a moment. @throws when fewer were refused than tried */
async function waitForRefusals(
  world: World,
  one: Attack,
  before: number,
  tried: number,
): Promise<number | undefined> {
  if (one.dropped === undefined || isUncounted(world, one.name)) return undefined;
  const enough = tried * (one.dropped.times ?? 1);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const refused = (await refusals(world, one)) - before;
    if (refused >= enough) return refused;
    await sleep(POLL_MS);
    if (performance.now() > deadline) {
      throw new Error(
        `${one.dropped.by} rose by ${refused} on node ${one.dropped.on ?? 'a'}, not by ${enough}`,
      );
    }
  }
}

function report(
  world: World,
  { id, name, dropped }: Attack,
  tried: number,
  arrived: number,
  refused: number | undefined,
): void {
  const why = refused === undefined ? '' : `  ${[dropped?.by].flat().join(', ')} +${refused}`;
  lineOf(world, id, name, tried, tried - Math.min(tried, arrived), why);
}

/** The same, with the variant in which it was tried. */
export function lineOf(
  { variant }: World,
  id: string,
  name: string,
  tried: number,
  survived: number,
  more = '',
): void {
  line(`${id.padEnd(4)} ${variant.name.padEnd(17)}`, name, tried, survived, more);
}

/** The one line that each attack prints. */
export function line(id: string, name: string, tried: number, survived: number, more = ''): void {
  process.stdout.write(
    `${id.padEnd(4)} ${name.padEnd(72)} tried ${String(tried).padStart(6)}  survived ${String(survived).padStart(6)}${more}\n`,
  );
}
