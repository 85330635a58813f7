/** `sluice verify` on two nodes: every check as expected, from the command line, and nothing left behind. */
import { readFileSync } from 'node:fs';
import { CHECK_IDS } from '../../cli/verify/catalog.ts';
import type { Report } from '../../cli/verify/report.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { netnsPath } from '../../lab/network.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { namesIn } from '../../linux/directories.ts';
import { mountsBelow } from '../../linux/mounts.ts';
import { processesInNetns } from '../../linux/process.ts';
import { withoutCounts } from '../runtimes/traces.ts';

const PREFIX = 'tverify';

let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: PREFIX, nodes: ['a', 'b'] });
  await lab.start();
});
afterAll(() => lab?.close());

/** What a proof could leave behind on a node. */
async function traces(node: string): Promise<Record<string, unknown>> {
  const { exec, sluice, netns, runDir } = lab.node(node);
  const listed = async (what: string): Promise<unknown> =>
    JSON.parse((await sluice([what, 'list', '--json'])).stdout);
  return {
    links: await exec(['ip', '-brief', 'link']),
    routes: await exec(['ip', 'route']),
    rules: withoutCounts(await exec(['nft', 'list', 'ruleset'])),
    endpoints: await listed('endpoint'),
    tenants: await listed('tenant'),
    mounts: mountsBelow(runDir),
    processes: processesInNetns(netns).length,
  };
}

describe('sluice verify', () => {
  it('proves every check on two nodes, with exit code 0', async () => {
    const { code, stdout } = await lab
      .node('a')
      .sluice(['verify', '--json', '--outside', lab.internet.netns]);
    const report = JSON.parse(stdout) as Report;
    expect(report.checks.filter(({ expect, got }) => expect !== got)).toEqual([]);
    expect([...new Set(report.checks.map(({ id }) => id))]).toEqual(CHECK_IDS);
    expect(report).toMatchObject({ ok: true, node: 'a', plane: 'ebpf' });
    expect(report.checks.map(({ from }) => from)).toContain('internet');
    expect(code).toBe(0);
  });

  it('proves them through the tunnel too', async () => {
    const set = (carrier: string) => lab.node('a').sluice(['cluster', 'set', '--carrier', carrier]);
    await set('vxlan');
    const { code, stdout } = await lab.node('a').sluice(['verify', '--json']);
    await set('auto');
    const { checks } = JSON.parse(stdout) as Report;
    expect(checks.filter(({ expect, got }) => expect !== got)).toEqual([]);
    expect(code).toBe(0);
  });

  it('shows a table to people', async () => {
    const { stdout } = await lab.node('a').sluice(['verify']);
    expect(stdout).toContain('The fence stands.');
    expect(stdout).toMatch(/✓ forged tag +verify-blue\/b1 +verify-blue\/b3 +wire +drop +drop/);
  });

  it('runs on a node that is not the server, once the tenants are there', async () => {
    const without = await lab.node('b').sluice(['verify', '--json']);
    expect(without.code).toBe(3);
    expect(without.stdout).toContain('sluice tenant create verify-blue');
    for (const tenant of ['verify-blue', 'verify-red']) await lab.tenant(tenant);
    const { code, stdout } = await lab.node('b').sluice(['verify', '--json']);
    for (const tenant of ['verify-blue', 'verify-red'])
      await lab.node('a').sluice(['tenant', 'delete', tenant, '--yes']);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, node: 'b' });
    expect(code).toBe(0);
  });

  it('leaves nothing behind', async () => {
    const before = await Promise.all(['a', 'b'].map(traces));
    await lab.node('a').sluice(['verify']);
    // The peer takes its containers away when it hears of it.
    const { exec } = lab.node('b');
    await waitFor(async () => !/\bse[0-9a-f]{12}\b/.test(await exec(['ip', '-brief', 'link'])));
    expect(await Promise.all(['a', 'b'].map(traces))).toEqual(before);
  });
});

describe('a lab', () => {
  it('leaves nothing behind, also when its daemons were killed', async () => {
    const other = await createLab({ prefix: 'tgone', nodes: ['a'] });
    const [node] = other.nodes;
    await other.start();
    const { pid } = JSON.parse(readFileSync(`${node!.runDir}/up.json`, 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    await other.close();
    expect(namesIn('/run/netns').filter((name) => name.startsWith('tgone.'))).toEqual([]);
    expect(namesIn(other.directory)).toEqual([]);
    expect(mountsBelow(other.directory)).toEqual([]);
    expect(processesInNetns(netnsPath(namespaceOf('tgone', 'node-a')))).toEqual([]);
  });
});

const WAIT_MS = 10_000;

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() >= deadline)
      throw new Error(`did not become true within ${WAIT_MS} ms: ${String(condition)}`);
  }
}
