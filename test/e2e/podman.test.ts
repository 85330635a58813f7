/** podman's containers on two nodes of this network, by podman's CNI backend and the built plugin. Needs root. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pingMatrix } from '../../cli/sample/matrix.ts';
import { IMAGE, type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import type { Running } from '../../cli/sample/running.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { shellImage } from '../runtimes/images.ts';
import { addressOf, inspect, network, pageFrom } from '../runtimes/podman.ts';
import { tracesOn } from '../runtimes/traces.ts';
import { until } from '../runtimes/until.ts';

const PAGE = 'A page behind a fence';
const WEB = ['httpd', '-f', '-p', '80', '-h', '/www'];
const FOREVER = ['sleep', '2147483647'];
let lab: Lab;
let a: LabNode;
let on: { readonly a: Podman; readonly b: Podman };

const remove = (podman: Podman, name: string): Promise<string> =>
  podman.call(['rm', '--force', '--time', '0', name]);

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'podtest', nodes: ['a', 'b'], beforeRemoval: removeContainers });
  a = lab.node('a');
  await lab.start();
  for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
  const plugins = path.dirname(thisCheckout().plugin);
  const [onA, onB] = lab.nodes.map((node) => podmanOn(node, ['blue', 'red'], plugins));
  on = { a: onA!, b: onB! };
  for (const node of lab.nodes) {
    for (const tenant of ['blue', 'red']) network(node, tenant, { tenant });
  }
  const { archive } = await shellImage();
  await Promise.all([on.a.load(archive), on.b.load(archive)]);
});
afterAll(() => lab?.close());

describe('containers of two tenants on two nodes', () => {
  const WHERE = [
    ['b1', 'blue', 'a'],
    ['b2', 'blue', 'a'],
    ['r1', 'red', 'a'],
    ['b3', 'blue', 'b'],
    ['r2', 'red', 'b'],
    ['r3', 'red', 'b'],
  ] as const;
  let containers: Running[];

  const matrix = async (): Promise<void> => {
    const { names, reached } = await pingMatrix(containers);
    const expected = WHERE.map(([name, tenant]) =>
      WHERE.map(([other, its]) => (name === other ? undefined : tenant === its)),
    );
    expect({ names, reached }).toEqual({
      names: WHERE.map(([name, tenant]) => `${tenant}/${name}`),
      reached: expected,
    });
  };

  beforeAll(async () => {
    for (const [name, tenant, node] of WHERE) {
      await on[node].start(
        tenant,
        name,
        name === 'b2' ? ['--publish', '8080:80'] : [],
        name === 'b2' ? WEB : FOREVER,
      );
    }
    containers = await Promise.all(
      WHERE.map(async ([name, tenant, node]) => {
        const podman = on[node];
        return { name, tenant, node, podman, address: await addressOf(podman, name, 'eth1') };
      }),
    );
  });

  it('lets each reach those of its tenant, on its node and the other, and nobody else', () => matrix());

  it('shows a network for each tenant', async () => {
    const names = (await on.a.call(['network', 'ls', '--format', '{{.Name}}'])).split('\n');
    expect(names).toEqual(expect.arrayContaining(['blue', 'red']));
    expect(JSON.parse(await on.a.call(['network', 'inspect', 'blue']))).toMatchObject([
      { driver: 'sluice-cni' },
    ]);
  });

  describe('a published port', () => {
    const url = 'http://192.0.2.1:8080/';

    it('answers the node itself, by its address and by loopback', async () => {
      expect(await pageFrom(a.netns, url)).toContain(PAGE);
      expect(await pageFrom(a.netns, 'http://127.0.0.1:8080/')).toContain(PAGE);
    });

    it('answers the internet and the other node', async () => {
      expect(await pageFrom(lab.internet.netns, url)).toContain(PAGE);
      expect(await pageFrom(lab.node('b').netns, url)).toContain(PAGE);
    });

    it.each([
      ['the container itself', 'a', 'b2'],
      ['another of its tenant', 'a', 'b1'],
      ['one of another tenant', 'a', 'r1'],
      ['one of another tenant on the other node', 'b', 'r2'],
    ] as const)('answers %s, because it is open to everybody', async (_, node, name) => {
      expect(await on[node].exec(name, ['timeout', '5', 'wget', '-q', '-O', '-', url])).toContain(PAGE);
    });

    it('is refused to a second container, which then does not run', async () => {
      const second = ['run', '--rm', '--network', 'red', '--publish', '8080:80', '--name', 'late', IMAGE];
      await expect(on.a.call([...second, 'true'])).rejects.toThrow(/8080/);
      expect(await on.a.call(['ps', '--all', '--noheading', '--filter', 'name=late'])).toBe('');
      expect(await pageFrom(a.netns, url)).toContain(PAGE);
    });

    it('works on after a restart of its container, as does the rest', async () => {
      await on.a.call(['restart', '--time', '0', 'b2']);
      containers[1] = { ...containers[1]!, address: await addressOf(on.a, 'b2', 'eth1') };
      await until('the page comes', async () => (await pageFrom(lab.internet.netns, url)).includes(PAGE));
      await matrix();
    });
  });
});

describe('what podman asks for', () => {
  it('is given: addresses and a MAC', async () => {
    await on.a.start('blue', 'wish', ['--ip', '10.64.0.99', '--mac-address', '02:11:22:33:44:55'], FOREVER);
    expect(await addressOf(on.a, 'wish', 'eth1')).toBe('10.64.0.99');
    expect((await inspect(on.a, 'wish')).NetworkSettings.Networks).toMatchObject({
      blue: { MacAddress: '02:11:22:33:44:55' },
    });
    expect(await on.a.exec('b1', ['ping', '-c', '1', '-W', '2', '10.64.0.99'])).toContain(' 0% packet loss');
    await remove(on.a, 'wish');
  });

  it('is refused with a reason: an address of somebody else, and one from nowhere', async () => {
    const taken = await addressOf(on.a, 'b1', 'eth1');
    for (const ip of [taken, '203.0.113.9']) {
      const wish = ['run', '--rm', '--network', 'blue', '--ip', ip, IMAGE, 'true'];
      await expect(on.a.call(wish)).rejects.toThrow(ip);
    }
  });

  it('is refused with a reason: a foot in the networks of two tenants', async () => {
    const both = ['run', '--rm', '--network', 'blue,red', '--name', 'both', IMAGE, 'true'];
    const before = await tracesOn(a);
    await expect(on.a.call(both)).rejects.toThrow(/both interfaces would be called eth1/);
    expect(await tracesOn(a)).toEqual(before);
  });

  it('is given: name servers, search domains and options', async () => {
    const dns = ['--dns', '192.0.2.53', '--dns-search', 'blue.test', '--dns-option', 'ndots:2'];
    const shown = await on.a.call([
      'run',
      '--rm',
      '--network',
      'blue',
      ...dns,
      IMAGE,
      'cat',
      '/etc/resolv.conf',
    ]);
    expect(shown.trim().split('\n').sort()).toEqual([
      'nameserver 192.0.2.53',
      'options ndots:2',
      'search blue.test',
    ]);
  });

  it('is what the network says where podman says nothing', async () => {
    network(a, 'named', { tenant: 'blue', dns: { nameservers: ['192.0.2.54'], search: ['shop.test'] } });
    const shown = await on.a.call(['run', '--rm', '--network', 'named', IMAGE, 'cat', '/etc/resolv.conf']);
    expect(shown).toContain('nameserver 192.0.2.54');
    expect(shown).toContain('search shop.test');
  });
});

describe('addresses by name', () => {
  const again = async (net: string, name: string): Promise<Ipv4[]> => {
    const before = [await addressOf(on.a, name, 'eth0'), await addressOf(on.a, name, 'eth1')];
    await remove(on.a, name);
    await on.a.start(net, `${name}-other`, [], FOREVER); // wants an address in between
    await on.a.start(net, name, [], FOREVER);
    expect([await addressOf(on.a, name, 'eth0'), await addressOf(on.a, name, 'eth1')]).toEqual(before);
    return before;
  };

  it('come back to a sticky container', async () => {
    network(a, 'sticky', { tenant: 'blue', sticky: true });
    await on.a.start('sticky', 'cart', [], FOREVER);
    const [external, internal] = await again('sticky', 'cart');
    await on.a.call(['restart', '--time', '0', 'cart']);
    expect(await addressOf(on.a, 'cart', 'eth0')).toBe(external);
    expect(await addressOf(on.a, 'cart', 'eth1')).toBe(internal);
  });

  it('are those the network keeps for it', async () => {
    network(a, 'static', { tenant: 'red', static: { db: { internal: '10.64.1.9', external: '10.80.1.9' } } });
    await on.a.start('static', 'db', [], FOREVER);
    expect(await again('static', 'db')).toEqual(['10.80.1.9', '10.64.1.9']);
  });
});

describe('whose container it is', () => {
  const show = ['run', '--rm', '--name', 'whose'];

  it('is said by the environment where the network trusts arguments', async () => {
    network(a, 'tenants', {}, 'one network for all');
    const start = ['run', '--detach', '--network', 'tenants', '--name', 'argued', IMAGE];
    await on.a.call(start, { CNI_ARGS: 'SLUICE_TENANT=red' });
    const { endpoints } = await tracesOn(a);
    expect(endpoints).toContainEqual(expect.objectContaining({ containerName: 'argued', tenant: 'red' }));
    // podman does not keep the argument: without it the container is nobody's, and does not run.
    await expect(on.a.call(['restart', '--time', '0', 'argued'])).rejects.toThrow(/no tenant/);
    await remove(on.a, 'argued');
  });

  it.each([
    [
      'an argument on a network that does not trust it',
      'blue',
      { CNI_ARGS: 'SLUICE_TENANT=red' },
      /does not trust/,
    ],
    ['a network of nobody', 'nobody', {}, /no tenant/],
    ['a network of a tenant that is not there', 'ghost', {}, /no tenant ghost/],
  ])('is refused for %s, and nothing is left', async (_, net, env, reason) => {
    network(a, 'nobody', { trustArgs: true }, 'one network for all');
    network(a, 'ghost', { tenant: 'ghost' });
    const before = await tracesOn(a);
    await expect(on.a.call([...show, '--network', net, IMAGE, 'true'], env)).rejects.toThrow(reason);
    expect(await tracesOn(a)).toEqual(before);
  });
});

describe('removal', () => {
  it('leaves nothing of a running container with a published port', async () => {
    const before = await tracesOn(a);
    await on.a.start('red', 'gone', ['--publish', '9090:80', '--publish', '9090:80/udp'], WEB);
    const { State, NetworkSettings } = await inspect(on.a, 'gone');
    expect(existsSync(NetworkSettings.SandboxKey)).toBe(true);
    expect(await tracesOn(a)).not.toEqual(before);
    await remove(on.a, 'gone');
    expect(await tracesOn(a)).toEqual(before);
    const processes = [State.Pid, State.ConmonPid];
    await until('its processes end', () => !processes.some((pid) => existsSync(`/proc/${pid}`)));
    expect(existsSync(NetworkSettings.SandboxKey)).toBe(false);
    expect(await pageFrom(a.netns, 'http://192.0.2.1:9090/')).toBe('');
  });

  it('leaves nothing of all the others', async () => {
    for (const podman of [on.a, on.b]) await podman.call(['rm', '--all', '--force', '--time', '0']);
    for (const node of lab.nodes) {
      const { kernel, endpoints } = await tracesOn(node);
      expect({ links: /veth/.test(kernel), endpoints }).toEqual({ links: false, endpoints: [] });
    }
  });
});
