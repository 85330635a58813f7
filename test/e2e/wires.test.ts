/** The wires of a lab are what they are called: cards that merge packets, and a router that knows its limit. */
import { createLab, type Lab } from '../../lab/lab.ts';
import { napiThreads } from '../../lab/nic.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { run, runOk } from '../../linux/process.ts';

describe('a lab', () => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  it('has cables whose ends are cards, each with a thread on a CPU of its own', async () => {
    const before = new Set(napiThreads());
    lab = await createLab({ prefix: 'labnic', nodes: ['a', 'b'], wire: 'nic' });
    for (const { exec } of lab.nodes) {
      const features = await exec(['ethtool', '--show-features', 'up0']);
      expect(features).toMatch(/^tcp-segmentation-offload: off$/m);
      expect(features).toMatch(/^generic-segmentation-offload: off$/m);
      expect(features).toMatch(/^generic-receive-offload: on$/m);
      expect(await exec(['tc', 'qdisc', 'show', 'dev', 'up0'])).toContain('pfifo');
      expect(await exec(['ip', 'link', 'show', 'up0'])).toContain('mtu 1500');
    }
    const cpus = napiThreads()
      .filter((pid) => !before.has(pid))
      .map((pid) => /^Cpus_allowed_list:\s*(.*)$/m.exec(readTextIfThere(`/proc/${pid}/status`) ?? '')?.[1]);
    expect(cpus.sort()).toEqual(['0', '1']);
    await lab.nodes[0]?.exec(['ping', '-q', '-c', '1', '-W', '5', '192.0.2.2']);
  });

  it('has a router in the middle that says what is too long for it', async () => {
    lab = await createLab({ prefix: 'labmid', nodes: ['a', 'b'], middle: { mtu: 1400 } });
    const echo = ['ping', '-c', '1', '-W', '5', '-M', 'do', '192.0.2.2'];
    const from = ['ip', 'netns', 'exec', 'labmid.node-a'] as const;
    await runOk([...from, ...echo, '-s', '1372']);
    const { code, stdout } = await run([...from, ...echo, '-s', '1373']);
    expect(code).not.toBe(0);
    expect(stdout).toContain('From 198.51.100.1');
    expect(stdout).toContain('mtu = 1400');
    await runOk([...from, 'curl', '--silent', '--fail', '--max-time', '5', 'http://198.51.100.10/']);
  });

  it('has a router in the middle that knows where containers are', async () => {
    lab = await createLab({ prefix: 'labmidc', nodes: ['a', 'b'], middle: { mtu: 1400 } });
    await lab.start();
    await lab.tenant('blue');
    const from = await lab.container('a', 'blue', 'from');
    const to = await lab.container('b', 'blue', 'to');
    await runOk(['ip', 'netns', 'exec', from.namespace, 'ping', '-q', '-c', '1', '-W', '5', to.internal]);
  }, 60_000);
});
