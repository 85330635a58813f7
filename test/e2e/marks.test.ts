/** The packet mark is shared: with rules beside ours that mark as kube-proxy does, the fence stands and nobody's bits are lost. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { runOk } from '../../linux/process.ts';

/** kube-proxy's marking chains (mark, flip back, masquerade), and counters of what arrives with its bits still set. */
const KUBE_PROXY_LIKE = `
*mangle
:KUBE-MARK-ALL - [0:0]
-A PREROUTING -j KUBE-MARK-ALL
-A FORWARD -m mark --mark 0x8000/0x8000 -m comment --comment "still marked" -j RETURN
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MARK --xor-mark 0x4000
-A KUBE-MARK-ALL -j MARK --or-mark 0x4000
-A KUBE-MARK-ALL -j MARK --or-mark 0x8000
COMMIT
*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE
COMMIT
`;

let lab: Lab;
let near: LabContainer;
let far: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'tmarks', nodes: ['a', 'b'] });
  await lab.start();
  await lab.tenant('blue');
  near = await lab.container('a', 'blue', 'near');
  far = await lab.container('b', 'blue', 'far');
  for (const node of lab.nodes) await node.exec(['iptables-nft-restore', '-n'], { stdin: KUBE_PROXY_LIKE });
});
afterAll(() => lab?.close());

async function stillMarked(): Promise<number> {
  const listed = await lab.node('a').exec(['iptables-nft', '-t', 'mangle', '-vxnL', 'FORWARD']);
  return Number(/^\s*(\d+).*still marked/m.exec(listed)?.[1]);
}

describe.each(['auto', 'off'] as const)("beside kube-proxy's rules, with fastPath %s", (fastPath) => {
  beforeAll(() => Promise.all(lab.nodes.map((node) => node.restart({ tagqueue: { fastPath } }))));

  it('the fence stands', async () => {
    const { code, stdout } = await lab.node('a').sluice(['verify', '--json']);
    expect(
      JSON.parse(stdout).checks.filter(
        (check: { expect: string; got: string }) => check.expect !== check.got,
      ),
    ).toEqual([]);
    expect(code).toBe(0);
  });

  it('the bits of others pass through our programs', async () => {
    const before = await stillMarked();
    await runOk([
      'nsenter',
      `--net=${near.netns}`,
      'ping',
      '-q',
      '-c',
      '3',
      '-i',
      '0.2',
      '-W',
      '2',
      lab.internet.address,
    ]);
    expect(await stillMarked()).toBeGreaterThanOrEqual(before + 3);
    await runOk(['nsenter', `--net=${near.netns}`, 'ping', '-q', '-c', '1', '-W', '2', far.internal]);
  });
});
