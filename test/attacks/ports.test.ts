/** A11: red publishes ports, and gets nothing that was meant for others (CVE-2025-67499). */

import type { LabContainer } from '../../lab/lab.ts';
import { openNetns } from '../../linux/netns.ts';
import { askTcp, listenTcp, listenUdp, sendUdp, type TcpOutcome } from '../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { line } from './attack.ts';
import { range } from './traffic.ts';
import { worldForFile } from './world.ts';

const world = worldForFile('atkport');
const PATIENCE_MS = 5_000;
const INSIDE = 8000;
const API = 7070;
const TRIES = 20;

/** What red publishes: ports that everybody talks to, on all addresses and on addresses that are not the node's. */
function mappings(foreign: readonly Ipv4[]): object[] {
  const everywhere = [80, 443, 53].flatMap((hostPort) =>
    ['tcp', 'udp'].map((protocol) => ({ hostPort, containerPort: INSIDE, protocol })),
  );
  const elsewhere = foreign.map((hostIP) => ({
    hostPort: 81,
    containerPort: INSIDE,
    protocol: 'tcp',
    hostIP,
  }));
  return [...everywhere, ...elsewhere];
}

/** Red's container, with something that answers, and remembers who came. */
interface Trap extends AsyncDisposable {
  readonly container: LabContainer;
  readonly caught: string[];
  readonly datagrams: (text: string) => boolean;
}

async function setTrap(): Promise<Trap> {
  const { lab, blue } = world();
  const foreign = [
    lab.internet.address,
    lab.node('b').address,
    blue.a1.external.address,
    blue.a1.internal.address,
  ];
  const portMappings = mappings(foreign);
  const container = await lab.container('a', 'red', 'trap', { runtimeConfig: { portMappings } });
  using netns = openNetns(container.netns);
  const caught: string[] = [];
  const tcp = await listenTcp(netns, INSIDE, (client) => {
    caught.push(client);
    return 'red has you\n';
  });
  const udp = await listenUdp(netns, INSIDE);
  return {
    container,
    caught,
    datagrams: (text) => udp.received(Buffer.from(text)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([tcp[Symbol.asyncDispose](), udp[Symbol.asyncDispose]()]);
      await container.remove();
    },
  };
}

async function ask(
  from: { readonly netns: string },
  address: Ipv4,
  port: number,
  ms = PATIENCE_MS,
): Promise<TcpOutcome> {
  using netns = openNetns(from.netns);
  return askTcp(netns, { address, port }, 'hello\n', ms);
}

describe('A11: published ports', () => {
  it('A11: capture nothing that is meant for the internet, other nodes or other containers', async () => {
    const { lab, blue } = world();
    await using trap = await setTrap();
    // The trap works: what is meant for the node's own address does reach red.
    const toTheTrap = await ask(lab.internet, lab.node('a').address, 80);
    expect(toTheTrap).toMatchObject({ state: 'answered', text: 'red has you\n' });
    expect(trap.caught.splice(0)).toHaveLength(1);

    const fromBlue = await Promise.all(range(TRIES, () => ask(blue.a1.container, lab.internet.address, 80)));
    const fromNode = await Promise.all(range(TRIES, () => ask(lab.node('a'), lab.internet.address, 80)));
    for (const outcome of [...fromBlue, ...fromNode]) {
      expect(outcome).toMatchObject({
        state: 'answered',
        text: expect.stringContaining(`\n${lab.node('a').address}\n`),
      });
    }
    const elsewhere = [
      lab.internet.address,
      lab.node('b').address,
      blue.a2.internal.address,
      blue.a2.external.address,
    ];
    const others = await Promise.all(
      elsewhere.flatMap((address) => [80, 81, 443].map((port) => ask(blue.a1.container, address, port, 300))),
    );
    const tried = fromBlue.length + fromNode.length + others.length;
    line(
      'A11',
      'TCP to others through the node that publishes the same port',
      tried,
      tried - trap.caught.length,
    );
    expect(trap.caught).toEqual([]);
  });

  it('A11: capture no datagrams either', async () => {
    const { lab, blue } = world();
    await using trap = await setTrap();
    using internet = openNetns(lab.internet.netns);
    using inside = openNetns(blue.a1.container.netns);
    await using resolver = await listenUdp(internet, 53);
    range(TRIES, (i) =>
      sendUdp(inside, { address: lab.internet.address, port: 53 }, Buffer.from(`question ${i}.`)),
    );
    await until(() => resolver.received(Buffer.from(`question ${TRIES - 1}.`)));
    sendUdp(internet, { address: lab.node('a').address, port: 53 }, Buffer.from('for the trap'));
    await until(() => trap.datagrams('for the trap'));
    const caught = range(TRIES, (i) => trap.datagrams(`question ${i}.`)).filter(Boolean).length;
    line('A11', 'UDP to others through the node that publishes the same port', TRIES, TRIES - caught);
    expect(caught).toBe(0);
  });

  it("A11: an address that is not the node's gets red nothing", async () => {
    const { lab, blue } = world();
    await using trap = await setTrap();
    const outcomes = await Promise.all(
      [lab.internet, lab.node('a'), lab.node('b')].flatMap((from) =>
        [lab.node('a').address, lab.node('b').address, blue.a1.external.address].map((address) =>
          ask(from, address, 81, 300),
        ),
      ),
    );
    line(
      'A11',
      "port 81, published on others' addresses",
      outcomes.length,
      outcomes.length - trap.caught.length,
    );
    expect(trap.caught).toEqual([]);
  });

  it("A11: the cluster API's own port stays the server's, and whoever asks for it is told", async () => {
    const { lab } = world();
    const node = lab.node('a');
    const mapping = { hostPort: API, containerPort: INSIDE, protocol: 'tcp' };
    const attempts = [
      mapping,
      { ...mapping, hostIP: node.address },
      { ...mapping, HostIP: '0.0.0.0', hostIP: undefined },
    ];
    for (const portMapping of attempts) {
      const asked = lab.container('a', 'red', 'api', { runtimeConfig: { portMappings: [portMapping] } });
      await expect(asked).rejects.toThrow(`tcp port ${API} of this node`);
    }
    line('A11', "publishing the cluster API's port", attempts.length, attempts.length);
    expect((await ask(lab.node('b'), node.address, API, 500)).state).toBe('open');
  });

  it('A11: not even a port that is in the maps takes the cluster API away', async () => {
    const { lab } = world();
    await using trap = await setTrap();
    const node = lab.node('a');
    const elements = (what: (port: number) => string): string => `{ ${[API, API + 1].map(what).join(', ')} }`;
    const table = ['ip', 'sluice_a', 'ports_any'] as const;
    const target = `${trap.container.external} . ${INSIDE}`;
    await node.exec(['nft', 'add', 'element', ...table, elements((port) => `tcp . ${port} : ${target}`)]);
    expect(await ask(lab.internet, node.address, API + 1)).toMatchObject({ text: 'red has you\n' });
    trap.caught.splice(0);
    for (const from of [lab.node('b'), node, lab.internet]) await ask(from, node.address, API, 300);
    await node.exec(['nft', 'delete', 'element', ...table, elements((port) => `tcp . ${port}`)]);
    line('A11', 'connections to the cluster API past a published port', 3, 3 - trap.caught.length);
    expect(trap.caught).toEqual([]);
  });
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
