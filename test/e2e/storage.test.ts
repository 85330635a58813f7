/** Shared volumes on one machine: made, mounted, written, grown, taken away; with nothing left. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createLab, type Lab } from '../../lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ prefix: 'sdone', nodes: ['a'] });
}, 60_000);
afterAll(() => lab?.close(), 60_000);

async function sluice(node: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.node(node).sluice(args);
  if (code !== 0) throw new Error(`sluice ${args.join(' ')}: ${code} ${stdout} ${stderr}`);
  return stdout;
}

it('makes, mounts, writes, grows and removes', async () => {
  const a = lab.node('a');
  await a.start();
  await lab.tenant('blue');
  let t = performance.now();
  const lap = (what: string): void => {
    console.log(what, Math.round(performance.now() - t));
    t = performance.now();
  };
  try {
    console.log(await sluice('a', 'volume', 'create', 'shared', '--tenant', 'blue', '--size', '1GiB'));
    lap('create');
    const c = await lab.container('a', 'blue', 'c1');
    t = performance.now();
    const mounted = JSON.parse(await sluice('a', 'volume', 'mount', 'shared', '--container', c.id, '--json'));
    lap('mount');
    writeFileSync(`${mounted.hostPath}/hello`, 'hello');
    expect(readFileSync(`${mounted.hostPath}/hello`, 'utf8')).toBe('hello');
    console.log(await sluice('a', 'volume', 'show', 'shared'));
    t = performance.now();
    console.log(await sluice('a', 'volume', 'resize', 'shared', '--size', '2GiB'));
    lap('resize');
    console.log(await sluice('a', 'status'));
    await sluice('a', 'volume', 'unmount', mounted.id);
    lap('unmount');
    console.log(await sluice('a', 'volume', 'delete', 'shared', '--now', '--yes'));
    lap('delete');
  } finally {
    console.log(readFileSync(a.logFile, 'utf8').split('\n').filter((l) => l.includes('storaged') || l.includes('level":5')).join('\n').slice(-6000));
    console.log(await sluice('a', 'uninstall', '--yes'));
  }
}, 120_000);
