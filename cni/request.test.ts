import { attach, type Json, parse, refusal } from '../test/cni/call.ts';
import { parseRequest } from './request.ts';

describe('a valid request', () => {
  it('has the defaults of the documentation', () => {
    expect(attach({}, { CNI_ARGS: '' })).toMatchObject({
      command: 'ADD',
      containerId: '3f6a0c',
      ifName: 'eth0',
      netns: '/run/netns/cart',
      netnsOverride: false,
      cniVersion: '1.1.0',
      network: 'tenants',
      containerName: null,
      previous: null,
      config: { trustArgs: false },
      wishes: {
        nics: [
          { side: 'external', ifName: 'eth0' },
          { side: 'internal', ifName: 'eth1' },
        ],
        ips: [],
        staticAddresses: {},
        mac: null,
        ports: [],
        dns: null,
        aliases: [],
        cgroupPath: null,
        bandwidth: null,
        podAnnotations: {},
        app: null,
        labels: {},
        ipv6: false,
        sticky: false,
      },
    });
  });

  it.each(['0.4.0', '1.0.0', '1.1.0'])('may have cniVersion %s', (cniVersion) => {
    expect(parse({ cniVersion }).cniVersion).toBe(cniVersion);
  });

  it('takes every key that the documentation lists, and the keys runtimes hand on', () => {
    const conf = {
      ...{ runDir: '/run/sluice', tenant: 'blue', trustArgs: true, primary: 'internal', external: {} },
      ...{
        internal: { interface: 'lan0' },
        ipv6: true,
        views: true,
        sticky: true,
        static: { db: { internal: '10.64.0.9' } },
      },
      ...{ dns: { nameservers: ['10.64.0.1'], search: ['shop.example'] }, ipam: {}, args: { labels: [1] } },
      ...{ capabilities: { ips: true, mac: false }, runtimeConfig: {}, cniVersions: ['1.1.0'] },
      ...{ disableCheck: false, disableGC: true, loadOnlyInlinedPlugins: true, 'cni.dev/anything': 1 },
    };
    expect(attach(conf).config).toMatchObject({ tenant: 'blue', trustArgs: true, primary: 'internal' });
  });

  it('has app and labels from the network, and over them from trusted arguments', () => {
    const network = { app: 'shop', labels: { tier: 'web', line: 'gold' }, trustArgs: true };
    expect(attach(network, { CNI_ARGS: '' }).wishes).toMatchObject({
      app: 'shop',
      labels: { tier: 'web', line: 'gold' },
    });
    const CNI_ARGS = 'SLUICE_APP=cart;SLUICE_LABELS=tier=batch,stage=blue';
    expect(attach(network, { CNI_ARGS }).wishes).toMatchObject({
      app: 'cart',
      labels: { tier: 'batch', line: 'gold', stage: 'blue' },
    });
  });

  it.each([
    ['SLUICE_APP=cart', 103, 'SLUICE_APP'],
    ['SLUICE_LABELS=tier=web', 103, 'SLUICE_LABELS'],
    ['SLUICE_LABELS=tier', 4, 'SLUICE_LABELS'],
    ['SLUICE_LABELS=tier=web,tier=batch', 4, 'names a label twice'],
    ['SLUICE_LABELS=tier=a b', 4, 'SLUICE_LABELS'],
    ['SLUICE_APP=../cart', 4, 'SLUICE_APP'],
  ])('is refused with %s on a network that does not trust arguments', (CNI_ARGS, cni, words) => {
    expect(refusal(() => attach({}, { CNI_ARGS }))).toMatchObject({
      cni,
      message: expect.stringContaining(words),
    });
  });

  const nics: [string, Json, string][] = [
    ['external first by default', {}, 'external:eth0 internal:eth1'],
    ['internal first if so configured', { primary: 'internal' }, 'internal:eth0 external:eth1'],
    ['a name for the other side', { internal: { interface: 'lan0' } }, 'external:eth0 internal:lan0'],
    ['no internal side', { internal: null }, 'external:eth0'],
    ['no external side: the internal one is primary', { external: null }, 'internal:eth0'],
    [
      'the primary side has the name of the runtime',
      { external: { interface: 'wan0' } },
      'external:eth0 internal:eth1',
    ],
  ];
  it.each(nics)('interfaces: %s', (_, conf, expected) => {
    expect(
      attach(conf)
        .wishes.nics.map((nic) => `${nic.side}:${nic.ifName}`)
        .join(' '),
    ).toBe(expected);
  });

  const names: [string, string, string | null][] = [
    ['podman', 'IgnoreUnknown=1;K8S_POD_NAME=My_cart.1', 'My_cart.1'],
    [
      'a pod',
      'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_INFRA_CONTAINER_ID=ab;K8S_POD_UID=',
      'shop.cart-0',
    ],
    ['our agent', 'SLUICE_NAME=cart.0;K8S_POD_NAME=other', 'cart.0'],
    [
      'a pod that tries to look like another',
      'K8S_POD_NAMESPACE=red;K8S_POD_NAME=shop.cart-0',
      'red.shop.cart-0',
    ],
    ['a namespace without a pod', 'K8S_POD_NAMESPACE=shop', null],
    ['a pod whose name is longer than ours', `K8S_POD_NAME=${'p'.repeat(200)}`, null],
    ['keys that are empty', 'K8S_POD_NAMESPACE=;K8S_POD_NAME=', null],
  ];
  it.each(names)('container name: %s', (_, args, expected) => {
    expect(attach({}, { CNI_ARGS: args }).containerName).toBe(expected);
  });

  it('finds the static addresses of its container, and of no other', () => {
    const conf = {
      static: { db: { internal: '10.64.0.9', external: '10.80.0.9' }, web: { internal: '10.64.0.8' } },
    };
    const named = (name: string): unknown =>
      attach(conf, { CNI_ARGS: `SLUICE_NAME=${name}` }).wishes.staticAddresses;
    expect(named('db')).toEqual({ internal: '10.64.0.9', external: '10.80.0.9' });
    expect(named('web')).toEqual({ internal: '10.64.0.8' });
    expect(named('constructor')).toEqual({});
  });

  const args: [string, string, Json][] = [
    [
      'several sources that agree',
      'IgnoreUnknown=1;IP=10.64.0.1;IgnoreUnknown=true;IP=10.64.0.1',
      { ip: '10.64.0.1' },
    ],
    [
      'unknown keys with IgnoreUnknown',
      'NOMAD_JOB_ID=a=b;IgnoreUnknown=True;SLUICE_TENANT=blue',
      { tenant: 'blue' },
    ],
    ['empty pairs', ';;SLUICE_TENANT=blue;', { tenant: 'blue' }],
  ];
  it.each(args)('CNI_ARGS: %s', (_, text, expected) => {
    expect(attach({}, { CNI_ARGS: text }).args).toMatchObject(expected);
  });

  it('keeps a previous result, and what it says beyond the specification', () => {
    const prevResult = {
      cniVersion: '0.3.1',
      interfaces: [{ name: 'net1', sandbox: '/run/netns/cart', vendor: 7 }],
      ips: [{ version: '4', address: '192.0.2.9/24', interface: 0 }],
      dns: {},
    };
    expect(attach({ prevResult }).previous).toMatchObject({ ...prevResult, routes: [] });
  });

  it('reads CNI_NETNS_OVERRIDE as libcni does', () => {
    for (const [value, expected] of Object.entries({
      '1': true,
      TRUE: true,
      true: true,
      '0': false,
      yes: false,
    })) {
      expect(attach({}, { CNI_NETNS_OVERRIDE: value }).netnsOverride).toBe(expected);
    }
  });
});

describe('the other commands', () => {
  it('DEL needs no namespace, and no configuration that ADD would take', () => {
    const conf = {
      nonsense: 1,
      ipam: { type: 'x' },
      runtimeConfig: { portMappings: [{ protocol: 'sctp' }] },
    };
    const env = { CNI_COMMAND: 'DEL', CNI_NETNS: '', CNI_ARGS: 'what is this' };
    const expected = {
      command: 'DEL',
      containerId: '3f6a0c',
      ifName: 'eth0',
      cniVersion: '1.1.0',
      network: 'tenants',
    };
    expect(parse(conf, env)).toEqual(expected);
  });

  it('GC names the attachments to keep; null, which libcni sends, means none', () => {
    const list = [{ containerID: 'a', ifname: 'eth0', more: 1 }];
    const expected = { command: 'GC', validAttachments: [{ containerId: 'a', ifName: 'eth0' }] };
    const key = 'cni.dev/valid-attachments';
    expect(parse({ [key]: list, 'cni.dev/attachments': list }, { CNI_COMMAND: 'GC' })).toMatchObject(
      expected,
    );
    expect(parse({ [key]: null }, { CNI_COMMAND: 'GC' })).toMatchObject({ validAttachments: [] });
  });

  it('GC is refused without the list, or with a name in it that cannot be read: it would remove the living', () => {
    const gc = (conf: Json): unknown => refusal(() => parse(conf, { CNI_COMMAND: 'GC' }));
    expect(gc({})).toMatchObject({ cni: 7 });
    expect(gc({ 'cni.dev/valid-attachments': [{ containerID: '../a', ifname: 'eth0' }] })).toMatchObject({
      cni: 7,
    });
  });

  it.each(['GC', 'STATUS'])('%s exists since 1.1.0', (command) => {
    const conf = { cniVersion: '1.0.0', 'cni.dev/valid-attachments': [] };
    expect(refusal(() => parse(conf, { CNI_COMMAND: command }))).toMatchObject({ cni: 1 });
    expect(parse({ ...conf, cniVersion: '1.1.0' }, { CNI_COMMAND: command })).toMatchObject({ command });
  });

  it('VERSION needs nothing, and gives the version back as it was', () => {
    expect(parseRequest({ CNI_COMMAND: 'VERSION' }, '{"cniVersion":"9.9.9"}')).toEqual({
      command: 'VERSION',
      cniVersion: '9.9.9',
    });
    expect(parseRequest({ CNI_COMMAND: 'VERSION' }, '')).toEqual({ command: 'VERSION', cniVersion: '1.1.0' });
  });
});
