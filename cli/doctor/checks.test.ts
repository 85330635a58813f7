import type { Link } from '../../linux/links.ts';
import { Config } from '../../model/config.ts';
import type { NodeStatus } from '../supervisor/status.ts';
import { allFindings } from './checks.ts';
import type { Finding, ThoroughFacts } from './facts.ts';

const link = (fields: object): Link =>
  ({
    index: 2,
    name: 'up0',
    mtu: 1_500,
    up: true,
    ethernet: true,
    master: undefined,
    group: 0,
    kind: undefined,
    ...fields,
  }) as unknown as Link;
const room = { bytes: 2 ** 40, files: 1e6 };
const stopped: NodeStatus = {
  ...{ ready: false, node: null, pid: null, daemons: [] },
  ...{ fence: null, guard: null, storage: null, plane: null },
};
const storage: ThoroughFacts['storage'] = {
  ...{ volumes: 'auto', missing: [], translator: { path: '/x.so', there: true }, lacks: [] },
};
const daemon = (fields: object): NodeStatus['daemons'][number] => ({
  ...{ daemon: 'netd', up: true, ready: true, reason: null, hint: null, version: '1.0.0' },
  ...fields,
});

const passage = (answered: number, medianMs = 0.2): object => ({ sent: 20, answered, medianMs });
const tried = (carrier: string, small = 20, full = small, medianMs = 0.2): object => ({
  ...{ carrier, small: passage(small), full: passage(full, medianMs) },
});
const between = (used: string, ...carriers: object[]): object => ({
  carriers: { used, peers: [{ peer: 'b', carriers }] },
});
const fence = (fields: object): object => ({
  status: {
    ...stopped,
    fence: { peers: { well: 1, broken: 0, silent: 0, unreachable: 0 }, unwell: [], failures: [], ...fields },
  },
});

/** A machine on which nothing is wrong. */
const good: ThoroughFacts = {
  root: true,
  node: 'a' as ThoroughFacts['node'],
  uplinkName: 'up0' as ThoroughFacts['uplinkName'],
  network: Config.parse({}).network,
  links: [link({})],
  addresses: [{ index: 2, address: '192.0.2.1', prefix: 24 }] as unknown as ThoroughFacts['addresses'],
  routes: [{ to: 'default', via: '192.0.2.254', dev: 2, protocol: 3 }] as unknown as ThoroughFacts['routes'],
  settings: new Map([['net/ipv4/ip_forward', '1']]),
  plane: 'auto',
  object: { path: '/o', there: true },
  sockets: [{ path: '/run/sluice/netd.sock', access: { mode: 0o600, uid: 0 } }],
  directories: [{ path: '/run/sluice', access: { mode: 0o700, uid: 0 }, room }],
  firewalls: [],
  version: '1.0.0',
  status: stopped,
  features: [{ name: 'veth', what: 'veth pairs', error: undefined }],
  lack: undefined,
  offloads: new Map([['generic-receive-offload', true]]),
  clockSynchronized: true,
  markWriters: [{ where: 'iptables-nft -t nat: …', mark: 'packet', bits: 0x4000 }],
  storage,
  fastPath: { on: true },
  dropsIpv6: undefined,
  carriers: {
    used: 'option',
    peers: [{ peer: 'b', carriers: [tried('option')] }],
  } as unknown as ThoroughFacts['carriers'],
};

const CANNOT_BPF = { name: 'bpf', what: 'the programs of the fence', error: 'ENOSYS' };
const unwell = (facts: object): Finding[] =>
  allFindings({ ...good, ...facts }).filter(({ level }) => level !== 'ok');
const route = (to: string, dev: number, protocol = 4): object => ({ to, via: undefined, dev, protocol });

describe('allFindings', () => {
  it('finds nothing on a good machine', () => {
    expect(unwell({})).toEqual([]);
  });

  it.each([
    ['root', 'fail', { root: false }],
    ['object', 'fail', { object: { path: '/o', there: false } }],
    ['socket-paths', 'fail', { sockets: [{ path: `/${'x'.repeat(107)}`, access: undefined }] }],
    ['permissions', 'fail', { sockets: [{ path: '/s', access: { mode: 0o666, uid: 0 } }] }],
    ['permissions', 'fail', { directories: [{ path: '/d', access: { mode: 0o777, uid: 0 }, room }] }],
    [
      'room',
      'warn',
      { directories: [{ path: '/d', access: undefined, room: { bytes: 50 * 2 ** 20, files: 1e6 } }] },
    ],
    [
      'room',
      'fail',
      { directories: [{ path: '/d', access: undefined, room: { bytes: 2 ** 20, files: 1e6 } }] },
    ],
    [
      'room',
      'fail',
      { directories: [{ path: '/d', access: undefined, room: { bytes: 2 ** 40, files: 3 } }] },
    ],
    ['uplink', 'warn', { uplinkName: undefined }],
    ['uplink', 'fail', { links: [] }],
    ['uplink', 'fail', { links: [link({ up: false })] }],
    ['uplink', 'fail', { links: [link({ ethernet: false })] }],
    ['uplink', 'fail', { addresses: [] }],
    ['mtu', 'warn', { links: [link({ mtu: 1_000 })] }],
    ['mtu', 'fail', { links: [link({ mtu: 500 })] }],
    ['pools', 'fail', { network: { ...good.network, externalPool: '10.64.0.0/16' } }],
    ['pools', 'fail', { network: { ...good.network, internalPool: '10.64.0.0/24' } }],
    ['pools', 'fail', { routes: [route('10.70.0.0/16', 2)] }],
    ['pools', 'fail', { routes: [route('10.0.0.0/8', 2)] }],
    ['pools', 'fail', { addresses: [...good.addresses, { index: 2, address: '10.64.0.7', prefix: 32 }] }],
    ['firewall', 'warn', { firewalls: [{ name: 'the nftables chain ip filter FORWARD', policy: 'drop' }] }],
    [
      'bridge-nf-call',
      'warn',
      {
        settings: new Map([
          ['net/ipv4/ip_forward', '1'],
          ['net/bridge/bridge-nf-call-iptables', '1'],
        ]),
      },
    ],
    [
      'rp_filter',
      'warn',
      {
        settings: new Map([
          ['net/ipv4/ip_forward', '1'],
          ['net/ipv4/conf/all/rp_filter', '1'],
        ]),
        routes: [{ to: 'default', via: '198.51.100.1', dev: 3, protocol: 3 }],
      },
    ],
    ['kernel-veth', 'fail', { features: [{ name: 'veth', what: 'veth pairs', error: 'EOPNOTSUPP' }] }],
    ['offloads', 'warn', { offloads: new Map([['generic-receive-offload', false]]) }],
    [
      'ip_forward',
      'fail',
      { settings: new Map(), status: { ...stopped, ready: true, daemons: [daemon({})] } },
    ],
    [
      'daemons',
      'fail',
      { status: { ...stopped, pid: 1, daemons: [daemon({ ready: false, reason: 'why' })] } },
    ],
    ['versions', 'warn', { status: { ...stopped, ready: true, daemons: [daemon({ version: '0.9.0' })] } }],
    ['clock', 'warn', { clockSynchronized: false }],
    ['mark', 'warn', { markWriters: [{ where: 'x', mark: 'packet', bits: 0x0010_0000 }] }],
    ['mark', 'warn', { markWriters: [{ where: 'x', mark: 'connection', bits: 0xffff_ffff }] }],
    ['storage', 'warn', { storage: { ...storage, missing: ['glusterd'] } }],
    ['storage', 'fail', { storage: { ...storage, volumes: 'on', missing: ['glusterd'] } }],
    ['storage-translator', 'fail', { storage: { ...storage, translator: { path: '/x.so', there: false } } }],
    ['storage-kernel', 'fail', { storage: { ...storage, lacks: ['XFS'] } }],
    ['fast-path', 'warn', { fastPath: { on: false, why: 'a rate is set' } }],
    ['ipv6', 'warn', { dropsIpv6: true }],
    ['carriers-b', 'fail', between('option', tried('option', 0))],
    ['carriers-b', 'fail', between('option', tried('option', 20, 0), tried('vxlan'))],
    [
      'carriers-b',
      'warn',
      between('option', { ...tried('option'), small: { sent: 0, answered: 0, medianMs: null } }),
    ],
    ['fence-probes', 'fail', fence({ failures: ['node b let in a packet without a tag'] })],
    ['kernel-bpf', 'fail', { features: [CANNOT_BPF] }],
    ['kernel-bpf', 'fail', { features: [CANNOT_BPF], plane: 'ebpf', lack: 'the system call bpf' }],
    ['plane', 'warn', { plane: 'nfqueue', status: { ...stopped, plane: 'ebpf' } }],
    ['fence-probes', 'warn', fence({ unwell: [{ node: 'b', state: 'unreachable' }] })],
  ])('%s: %s', (id, level, facts) => {
    const found = unwell(facts).find((one) => one.id === id);
    expect(found).toMatchObject({ id, level });
    expect(found?.advice).toBeTruthy();
  });

  it.each([
    { plane: 'nfqueue', object: { path: '/o', there: false } },
    { plane: 'auto', lack: 'the system call bpf' },
  ])('asks for no eBPF where the fence is made without it: %j', (facts) => {
    const status = { ...stopped, plane: 'nfqueue' };
    const fastPath = { on: false, why: 'the plane nfqueue has none' };
    const clsact = { ...CANNOT_BPF, name: 'clsact' };
    const here = { ...facts, status, fastPath, features: [CANNOT_BPF, clsact] };
    expect(unwell(here)).toEqual([]);
    const said = allFindings({ ...good, ...(here as object) }).find(({ id }) => id === 'plane');
    expect(said?.found).toContain('nfqueue');
  });

  it("takes our own routes and bridges for no overlap, nor a stranger's default route", () => {
    const bridge = link({ index: 9, name: 'si-a' });
    const ours = {
      links: [link({}), bridge],
      addresses: [...good.addresses, { index: 9, address: '10.64.0.1', prefix: 22 }],
      routes: [...good.routes, route('10.64.0.0/22', 9), route('10.64.0.0/12', 2, 119)],
    };
    expect(unwell(ours)).toEqual([]);
  });
});

describe('what is said of the carriers', () => {
  const said = (facts: object): string =>
    allFindings({ ...good, ...facts }).find(({ id }) => id === 'carriers-b')?.found ?? '';

  it('is which of them pass and which is faster', () => {
    expect(said(between('vxlan', tried('option', 20, 20, 0.4), tried('vxlan', 20, 20, 0.2)))).toMatch(
      /option passes.*vxlan passes.*vxlan is faster/,
    );
    expect(said(between('vxlan', tried('option', 0), tried('vxlan')))).toMatch(
      /option does not pass; vxlan passes/,
    );
    expect(said(between('option', tried('option'), tried('vxlan')))).toContain('both are about as fast');
    expect(said(between('option', tried('option', 19)))).toContain('2 lost');
  });
});
