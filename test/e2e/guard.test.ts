/** The egress guard on a real node: who gets out, who does not, and what happens when it dies. */

import type { LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { DropEvent } from '../../model/drop.ts';
import { killNow, processOf } from '../faults/crashes.ts';
import {
  applyRules,
  curl,
  guardIsReady,
  guardWorld,
  PATIENCE_MS,
  say,
  sayUdp,
  until,
} from '../support/guard-world.ts';
import { clientHello, cryptoFrame, dnsQuestion, quicInitial, tlsRecords } from '../support/hellos.ts';
import { connectRaw } from '../support/raw-client.ts';

const world = guardWorld('gd');

const BY_NAME = {
  tenant: 'blue',
  rules: [
    { name: 'good', match: { domain: ['good.example', '*.good.example'] }, verdict: 'allow' },
    { name: 'ssh', match: { protocol: 'ssh', ports: 22 }, verdict: 'allow' },
    { name: 'mail', match: { protocol: 'other', ports: 25 }, verdict: 'allow' },
  ],
  default: 'deny',
};
const heard = { said: expect.stringContaining('heard') };
const hello = (name: string): Buffer => tlsRecords(clientHello({ name }), 50);

async function fromTagqueue<T>(path: string): Promise<T> {
  const client = localClient(`${world().lab.node('a').runDir}/tagqueue.sock`);
  try {
    return (await client.request('GET', path)) as T;
  } finally {
    client.close();
  }
}

/** A connection that the guard has let out. */
async function released(
  from: LabContainer,
): Promise<Exclude<Awaited<ReturnType<typeof connectRaw>>, string>> {
  const client = await connectRaw(from.netns, world().lab.internet.address, 8_443, PATIENCE_MS);
  if (typeof client === 'string') throw new Error(client);
  client.send(hello('good.example'));
  expect(await client.hear(PATIENCE_MS)).toMatchObject(heard);
  return client;
}

describe('the guard', () => {
  it('leaves tenants without rules alone', async () => {
    expect(await curl(world(), world().blue, 'https://evil.example/')).toBe('hello evil.example');
    expect(await curl(world(), world().red, 'https://evil.example/')).toBe('hello evil.example');
  });

  it('lets out what the rules allow by name, and resets what they do not', async () => {
    await applyRules(world(), BY_NAME);
    const { blue, red } = world();
    expect(await curl(world(), blue, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), blue, 'https://a.b.good.example/')).toBe('hello a.b.good.example');
    expect(await curl(world(), blue, 'https://evil.example/')).toBe('curl 35');
    expect(await curl(world(), red, 'https://evil.example/')).toBe('hello evil.example');
    expect(await curl(world(), blue, 'http://good.example/')).toContain(world().lab.node('a').address);
    expect(await curl(world(), blue, 'http://evil.example/')).toBe('curl 56');
  });

  it('names the rule in the drop log, and counts by rule', async () => {
    await until('the refusals are told', async () => {
      const { items } = await fromTagqueue<{ items: DropEvent[] }>('/v1/drops/recent?reason=guard');
      return items.some(
        ({ tenant, rule, domain, header }) =>
          tenant === 'blue' &&
          rule === 'default' &&
          domain === 'evil.example' &&
          header?.destinationPort === 443,
      );
    });
    const { stdout } = await world().lab.node('a').sluice(['drops', '--last', '20', '--reason', 'guard']);
    expect(stdout).toContain('guard (default)');
    const { runDir } = world().lab.node('a');
    const metrics = await world()
      .lab.node('a')
      .exec(['curl', '-s', '--unix-socket', `${runDir}/tagqueue.sock`, 'http://tagqueue/metrics']);
    expect(metrics).toMatch(/sluice_guard_flows_total\{tenant="blue",verdict="allow",rule="good"\} [1-9]/);
    expect(metrics).toMatch(/sluice_guard_flows_total\{tenant="blue",verdict="deny",rule="default"\} [1-9]/);
  });

  it('knows protocols by their first bytes, also byte by byte', async () => {
    const { blue } = world();
    const bytes = (data: Buffer): Buffer[] => [...data].map((byte) => Buffer.from([byte]));
    expect(await say(world(), blue, 22, [Buffer.from('SSH-2.0-test\r\n')])).toMatchObject(heard);
    expect(await say(world(), blue, 22, [Buffer.from('GET / HTTP/1.1\r\n\r\n')])).toBe('reset');
    expect(await say(world(), blue, 25, [Buffer.from('EHLO x\r\n')])).toMatchObject(heard);
    expect(await say(world(), blue, 9_999, [Buffer.from('EHLO x\r\n')])).toBe('reset');
    expect(await say(world(), blue, 8_443, bytes(hello('good.example')))).toMatchObject(heard);
    const evil = await connectRaw(blue.netns, world().lab.internet.address, 8_443, PATIENCE_MS);
    if (typeof evil === 'string') throw new Error(evil);
    using _evil = evil;
    const all = hello('evil.example');
    for (const byte of all) evil.send(Buffer.from([byte]));
    // The server may have heard all but what made it a whole.
    await until('it is reset', async () => (await evil.hear(10)) === 'reset' || !evil.send(Buffer.from([0])));
  });

  it('reads QUIC and DNS', async () => {
    const { blue } = world();
    const quic = (name: string): Buffer[] => {
      const whole = clientHello({ name, extensions: [{ type: 51, data: Buffer.alloc(1_200) }] });
      const frames = [cryptoFrame(700, whole.subarray(700)), cryptoFrame(0, whole.subarray(0, 700))];
      return frames.map((frame, number) => quicInitial({ number, frames: frame }));
    };
    const visitsOf = (server: string): number => world().visits.filter((one) => one.server === server).length;
    expect(await sayUdp(world(), blue, 443, quic('good.example'))).toMatchObject({ said: 'heard 1200' });
    await until('both datagrams are there', () => visitsOf('udp 443') === 2);
    await sayUdp(world(), blue, 443, quic('evil.example'));
    expect(visitsOf('udp 443')).toBe(3);
    expect(await sayUdp(world(), blue, 443, [Buffer.from('nothing known')])).toBe('silence');
    expect(await sayUdp(world(), blue, 53, [dnsQuestion('good.example')])).toMatchObject(heard);
    expect(await sayUdp(world(), blue, 53, [dnsQuestion('evil.example')])).toBe('silence');
  });

  it('says what it would decide, and is told what is wrong with rules', async () => {
    const node = world().lab.node('a');
    const told = async (...words: string[]): Promise<string> =>
      (await node.sluice(['guard', ...words])).stdout;
    expect(await told('test', 'blue', '--protocol', 'tls', '--domain', 'x.good.example')).toBe(
      'allow, by rule good\n',
    );
    expect(await told('test', 'blue', '--protocol', 'ssh', '--port', '2222')).toBe('deny, by rule default\n');
    expect(await told('list')).toContain('blue');
    expect(await told('show', 'blue')).toContain('*.good.example');
    await node.exec([
      'sh',
      '-c',
      `printf 'tenant: blue\\nrules:\\n- name: a\\n  macth: {}\\n' > ${node.stateDir}/bad.yaml`,
    ]);
    const { code, stderr } = await node.sluice(['guard', 'apply', `${node.stateDir}/bad.yaml`]);
    expect(code).toBe(2);
    expect(stderr).toContain('bad.yaml:4: rules.0.macth: there is no such key');
  });

  it('refuses what is over a limit, gives places back, and leaves others unaffected', async () => {
    const { blue, red } = world();
    await applyRules(world(), {
      ...BY_NAME,
      rules: [
        { name: 'few', match: { domain: 'good.example' }, limit: { concurrent: 2 } },
        { name: 'slow', match: { domain: 'slow.example' }, limit: { newPerSecond: 0.01, burst: 3 } },
      ],
    });
    const [one, two] = [await released(blue), await released(blue)];
    expect(await say(world(), blue, 8_443, [hello('good.example')])).toBe('reset');
    one[Symbol.dispose]();
    await until('the place is free', async () => {
      const again = await say(world(), blue, 8_443, [hello('good.example')]);
      return again !== 'reset';
    });
    two[Symbol.dispose]();
    const results: unknown[] = [];
    for (let i = 0; i < 6; i++) results.push(await say(world(), blue, 8_443, [hello('slow.example')]));
    expect(results.filter((result) => result === 'reset')).toHaveLength(3);
    expect(await curl(world(), red, 'https://slow.example/')).toBe('hello slow.example');
  });

  it('bounds a container that lies', async () => {
    const { blue } = world();
    await applyRules(world(), BY_NAME);
    const huge = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3e, 0]), Buffer.alloc(20_000)]);
    expect(await say(world(), blue, 8_443, [tlsRecords(clientHello({}))])).toBe('reset');
    expect(await say(world(), blue, 8_443, [Buffer.from('garbage\0\xff')])).toBe('reset');
    const far = await connectRaw(blue.netns, world().lab.internet.address, 8_443, PATIENCE_MS);
    if (typeof far === 'string') throw new Error(far);
    using _far = far;
    await until('it is reset', async () => !far.send(huge) || (await far.hear(10)) === 'reset');
  });

  it('lets a tenant leave by an address and ports of its own, and takes the address away with the rules', async () => {
    const { blue, red, lab, visits } = world();
    const address = '192.0.2.77' as Ipv4;
    const egress = [{ node: 'a', address, ports: '30000-30099' }];
    await applyRules(world(), { ...BY_NAME, egress });
    visits.length = 0;
    expect(await curl(world(), blue, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), red, 'https://good.example/')).toBe('hello good.example');
    const seen = visits.filter(({ server }) => server === 'https');
    expect(seen.map(({ from }) => from)).toEqual([address, lab.node('a').address]);
    expect(seen[0]!.port).toBeGreaterThanOrEqual(30_000);
    expect(seen[0]!.port).toBeLessThanOrEqual(30_099);
    await applyRules(world(), BY_NAME);
    await until(
      'the address is gone',
      async () => !(await lab.node('a').exec(['ip', 'addr'])).includes(address),
    );
  });

  it('lets established flows go on and nothing new out while it is dead, and judges again when it is back', async () => {
    const { blue, red, lab } = world();
    using client = await released(blue);
    const node = lab.node('a');
    await killNow(processOf(node, 'tagqueue'));
    const fresh = await connectRaw(blue.netns, lab.internet.address, 8_443, 300);
    expect(fresh).toBe('silence');
    client.send(Buffer.from('more'));
    expect(await client.hear(PATIENCE_MS)).toMatchObject(heard);
    expect(await curl(world(), red, 'https://evil.example/')).toBe('hello evil.example');
    await until('the guard is back', () => guardIsReady(lab));
    expect(await curl(world(), blue, 'https://good.example/')).toBe('hello good.example');
    expect(await curl(world(), blue, 'https://evil.example/')).toBe('curl 35');
    client.send(Buffer.from('more'));
    expect(await client.hear(PATIENCE_MS)).toMatchObject(heard);
  });

  it('shuts new flows when its chain is flushed, and opens them again by itself', async () => {
    const { blue, lab } = world();
    await lab.node('a').exec(['iptables', '-t', 'mangle', '-F']);
    expect(await connectRaw(blue.netns, lab.internet.address, 8_443, 300)).toBe('reset');
    await until('the chain is back', async () => {
      return (await curl(world(), blue, 'https://good.example/')) === 'hello good.example';
    });
  });

  it('lets everything out again when the rules are deleted', async () => {
    const { blue, lab } = world();
    await lab.node('a').sluice(['guard', 'delete', 'blue', '--yes']);
    await until('they are gone', async () => {
      return (await curl(world(), blue, 'https://evil.example/')) === 'hello evil.example';
    });
  });
});
