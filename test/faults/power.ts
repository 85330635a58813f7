/** Power off, power on: what is on disk is there, and everything in the kernel is gone. */
import type { Lab } from '../../lab/lab.ts';
import { batch, netnsPath } from '../../lab/network.ts';
import type { LabNode } from '../../lab/node.ts';
import { unmountBelow } from '../../linux/mounts.ts';
import { run } from '../../linux/process.ts';
import { removeTree } from '../../linux/tree.ts';
import { killNow, processOf, supervisorOf, until } from './crashes.ts';

/** kill -9 of `sluice up` and of all its daemons. */
export async function killAll(node: LabNode): Promise<void> {
  const daemons = (['server', 'tagqueue', 'netd', 'storaged'] as const).map((daemon) =>
    processOf(node, daemon),
  );
  await killNow(supervisorOf(node));
  for (const daemon of daemons) if (daemon !== undefined) await killNow(daemon).catch(() => undefined);
  await node.stop();
}

/**
 * No daemon can say good-bye. After it the uplink is there, and nothing else.
 * @param containers  those of the node: they go, too
 */
export async function reboot(
  lab: Lab,
  node: LabNode,
  containers: readonly { readonly namespace: string }[],
): Promise<void> {
  await killAll(node);
  await batch(
    [...containers.map(({ namespace }) => namespace), node.namespace].map((name) => `netns delete ${name}`),
  );
  unmountBelow(node.runDir);
  removeTree(node.runDir);

  const wire = `${lab.prefix}.wire`;
  // The wire's ports are numbered as its nodes are, and 0 is the internet's (lab/network.ts).
  const port = `port${lab.nodes.indexOf(node) + 1}`;
  await batch([`netns add ${node.namespace}`]);
  // The old port goes with the old namespace, a moment later.
  await until(
    'the old uplink is gone',
    async () => (await run(['ip', '-n', wire, 'link', 'show', port])).code !== 0,
  );
  await batch(
    [`link add ${port} type veth peer name up0 netns ${node.namespace}`, `link set ${port} master wire up`],
    wire,
  );
  await batch(
    [
      'link set lo up',
      `addr add ${node.address}/24 dev up0`,
      'link set up0 up',
      'route add default via 192.0.2.254',
    ],
    node.namespace,
  );
  expect(netnsPath(node.namespace)).toBe(node.netns);
}
