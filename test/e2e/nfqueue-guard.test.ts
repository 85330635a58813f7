/** The egress guard on a node without eBPF: the same rules, the same answers. */
import { localClient } from '../../linux/api-client.ts';
import type { DropEvent } from '../../model/drop.ts';
import { killNow, processOf } from '../faults/crashes.ts';
import {
  applyRules,
  curl,
  guardIsReady,
  guardWorld,
  PATIENCE_MS,
  say,
  until,
} from '../support/guard-world.ts';
import { clientHello, tlsRecords } from '../support/hellos.ts';
import { connectRaw } from '../support/raw-client.ts';

const world = guardWorld('nqguard', { tagqueue: { plane: 'nfqueue' } });

const BY_NAME = {
  tenant: 'blue',
  rules: [{ name: 'good', match: { domain: ['good.example', '*.good.example'] }, verdict: 'allow' }],
  default: 'deny',
};
const LIMITED = {
  tenant: 'blue',
  rules: [{ name: 'slow', match: { domain: 'slow.example' }, limit: { newPerSecond: 0.01, burst: 3 } }],
  default: 'deny',
};
const hello = (name: string): Buffer => tlsRecords(clientHello({ name }), 50);

async function fromTagqueue<T>(path: string): Promise<T> {
  const client = localClient(`${world().lab.node('a').runDir}/tagqueue.sock`);
  try {
    return (await client.request('GET', path)) as T;
  } finally {
    client.close();
  }
}

describe('the guard without eBPF', () => {
  it('leaves tenants without rules alone', async () => {
    expect(await fromTagqueue('/v1/status')).toMatchObject({ plane: 'nfqueue', ready: true });
    expect(await curl(world(), world().blue, 'https://evil.example/')).toBe('hello evil.example');
    expect(await curl(world(), world().red, 'https://evil.example/')).toBe('hello evil.example');
  });

  it('lets out what the rules allow by name, and resets what they do not', async () => {
    await applyRules(world(), BY_NAME);
    const { blue, blue2, red } = world();
    expect(await curl(world(), blue, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), blue2, 'https://a.good.example/')).toBe('hello a.good.example');
    expect(await curl(world(), blue, 'https://evil.example/')).toBe('curl 35');
    expect(await curl(world(), red, 'https://evil.example/')).toBe('hello evil.example');
  });

  it('names tenant, container and rule in the drop log, and counts them', async () => {
    await until('the refusal is told', async () => {
      const { items } = await fromTagqueue<{ items: DropEvent[] }>('/v1/drops/recent?reason=guard');
      return items.some(
        ({ tenant, rule, domain, header }) =>
          tenant === 'blue' &&
          rule === 'default' &&
          domain === 'evil.example' &&
          header?.source === world().blue.external,
      );
    });
    const { drops } = await fromTagqueue<{ drops: { reason: string; tenants: { tenant: string }[] }[] }>(
      '/v1/drops',
    );
    expect(drops.find(({ reason }) => reason === 'guard')?.tenants).toMatchObject([{ tenant: 'blue' }]);
  });

  it('is in the status of the node', async () => {
    const { stdout } = await world().lab.node('a').sluice(['status']);
    expect(stdout).toMatch(/^guard: tenants with rules 1, flows refused in the last minute [1-9]\d*$/m);
  });

  it('judges a container that was attached a moment ago', async () => {
    const { lab } = world();
    const fresh = await lab.container('a', 'blue', 'b9');
    expect(await curl(world(), fresh, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), fresh, 'https://evil.example/')).toBe('curl 35');
    await fresh.remove();
    const heir = await lab.container('a', 'red', 'r9');
    expect(await curl(world(), heir, 'https://evil.example/')).toBe('hello evil.example');
    await heir.remove();
  });

  it('refuses what is over a limit', async () => {
    const { blue, red } = world();
    await applyRules(world(), LIMITED);
    const results: unknown[] = [];
    for (let i = 0; i < 6; i++) results.push(await say(world(), blue, 8_443, [hello('slow.example')]));
    expect(results.filter((result) => result === 'reset')).toHaveLength(3);
    expect(await curl(world(), red, 'https://slow.example/')).toBe('hello slow.example');
  });

  it('lets released flows go on and nothing new out while it is dead, and judges again when it is back', async () => {
    await applyRules(world(), BY_NAME);
    const { blue, red, lab } = world();
    await until('the worker goes by them', async () => {
      return (await curl(world(), blue, 'https://good.example/')) === 'hello good.example';
    });
    const client = await connectRaw(blue.netns, lab.internet.address, 8_443, PATIENCE_MS);
    if (typeof client === 'string') throw new Error(client);
    using _client = client;
    const heard = { said: expect.stringContaining('heard') };
    client.send(hello('good.example'));
    expect(await client.hear(PATIENCE_MS)).toMatchObject(heard);
    await killNow(processOf(lab.node('a'), 'tagqueue'));
    expect(await connectRaw(blue.netns, lab.internet.address, 8_443, 300)).toBe('silence');
    client.send(Buffer.from('more'));
    expect(await client.hear(PATIENCE_MS)).toMatchObject(heard);
    expect(await curl(world(), red, 'https://evil.example/')).toBe('hello evil.example');
    await until('the guard is back', () => guardIsReady(lab));
    expect(await curl(world(), blue, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), blue, 'https://evil.example/')).toBe('curl 35');
  });
});
