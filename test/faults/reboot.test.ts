/** A reboot: what is on disk is there, everything in the kernel is gone. No address stays held by what died. */
import { createLab, type Lab } from '../../lab/lab.ts';
import { batch } from '../../lab/network.ts';
import type { LabNode } from '../../lab/node.ts';
import { run } from '../../linux/process.ts';
import { endpointsOf, residue, type Sandbox, type VerbsLab, verbsOn } from '../cni/verbs-lab.ts';
import { expectConsistent, report, until } from './crashes.ts';
import { reboot } from './power.ts';

let lab: Lab;
let node: LabNode;
let verbs: VerbsLab;

beforeAll(async () => {
  lab = await createLab({ prefix: 'faultrbt', nodes: ['a', 'b'] });
  await lab.start();
  await lab.tenant('blue');
  node = lab.node('a');
  verbs = verbsOn(lab, node);
});
afterAll(() => lab?.close());

it('holds no address of what is gone, keeps what is reserved, and attaches and fences as before', async () => {
  const empty = await residue(node);
  const published = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
  const gone = await Promise.all([verbs.sandbox(), verbs.sandbox(), verbs.sandbox()]);
  const results = await Promise.all(
    gone.map((sandbox, index) => verbs.done('ADD', sandbox, index === 0 ? published : {})),
  );
  const sticky = { conf: { sticky: true }, args: 'SLUICE_NAME=db' };
  const kept = await verbs.sandbox();
  const { ips: keptIps } = await verbs.done('ADD', kept, sticky);
  const peer = await lab.container('b', 'blue', 'peer');

  await reboot(lab, node, [...gone, kept]);
  await node.start({ listen: '192.0.2.1:7070' });
  await until('netd has forgotten the dead', async () => (await endpointsOf(node)).length === 0);
  expect(await residue(node)).toEqual(empty);
  await expectConsistent(lab);

  // Every address, the port, and the container ids are free again; runtimes keep ids over a reboot.
  await batch(gone.map(({ namespace }) => `netns add ${namespace}`));
  for (const [index, sandbox] of gone.entries()) {
    const ips = results[index]!.ips.map(({ address }) => address);
    const again = await verbs.done('ADD', sandbox, {
      runtimeConfig: { ips, ...(index === 0 ? published.runtimeConfig : {}) },
    });
    expect(again.ips).toEqual(results[index]!.ips);
    expect(await reaches(sandbox, peer.internal)).toBe(true);
  }
  await batch([`netns add ${kept.namespace}`]);
  expect((await verbs.done('ADD', kept, sticky)).ips).toEqual(keptIps);
  await expectConsistent(lab);

  const { code, stdout } = await node.sluice(['verify', '--json']);
  expect({ code, proof: JSON.parse(stdout) }).toMatchObject({ code: 0, proof: { ok: true } });

  for (const sandbox of [...gone, kept]) await verbs.done('DEL', sandbox);
  expect(await residue(node)).toEqual(empty);
  report('a reboot with 4 containers', 1, 1);
});

it('takes DEL for containers from before the reboot, however early it comes', async () => {
  const gone = await verbs.sandbox();
  await verbs.done('ADD', gone);
  await reboot(lab, node, [gone]);
  await node.start({ listen: '192.0.2.1:7070' });
  expect(await verbs.cni('DEL', { id: gone.id, netns: '' })).toEqual({ code: 0, json: undefined });
  expect(await endpointsOf(node)).toEqual([]);
  report('DEL after a reboot', 1, 1);
});

async function reaches({ namespace }: Sandbox, address: string): Promise<boolean> {
  return (
    (await run(['ip', 'netns', 'exec', namespace, 'ping', '-c', '3', '-i', '0.2', '-W', '2', address]))
      .code === 0
  );
}
