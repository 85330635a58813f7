/** ADDs that differ in their network configuration or CNI_ARGS. Node a has 10.80.0.0/22 and 10.64.0.0/22. */
import type { Wish } from './verbs-lab.ts';

/** What an ADD is expected to bring, besides what every ADD brings. */
export interface Expected {
  readonly result?: object;
  readonly record?: object;
  /** Elements of the port maps, with the container's external address as ADDRESS. */
  readonly published?: readonly string[];
  /** Destinations of routes inside. */
  readonly routes?: readonly string[];
}

export const external = expect.stringMatching(/^10\.80\.[0-3]\.\d+\/22$/);
export const internal = expect.stringMatching(/^10\.64\.[0-3]\.\d+\/22$/);
const twoSides = ['eth0', 'eth1', expect.stringMatching(/^se/), expect.stringMatching(/^si/)];
const named = (...names: unknown[]) => names.map((name) => expect.objectContaining({ name }));
const side = (which: string, address: string) => expect.objectContaining({ side: which, address });

export const VERSIONS: [string, Wish, Expected][] = [
  [
    'cniVersion 1.1.0, whose interfaces tell their MTU',
    {},
    {
      result: {
        cniVersion: '1.1.0',
        interfaces: named(...twoSides),
        ips: [
          { address: external, interface: 0 },
          { address: internal, interface: 1 },
        ],
      },
      record: { tenant: 'blue', phase: 'ready', network: 'tenants' },
      routes: ['10.64.0.0/12', '10.64.0.0/22', '10.80.0.0/22', 'default'],
    },
  ],
  [
    'cniVersion 1.0.0, which knows no MTU',
    { conf: { cniVersion: '1.0.0' } },
    {
      result: {
        cniVersion: '1.0.0',
        interfaces: expect.not.arrayContaining([expect.objectContaining({ mtu: expect.anything() })]),
      },
    },
  ],
  [
    'cniVersion 0.4.0, whose addresses tell their version',
    { conf: { cniVersion: '0.4.0' } },
    {
      result: {
        cniVersion: '0.4.0',
        ips: [
          { version: '4', address: external },
          { version: '4', address: internal },
        ],
      },
    },
  ],
];

export const SIDES: [string, Wish, Expected][] = [
  [
    'the internal side as the primary one',
    { conf: { primary: 'internal' } },
    {
      result: {
        interfaces: named('eth0', 'eth1', expect.stringMatching(/^si/), expect.stringMatching(/^se/)),
        ips: [{ address: internal }, { address: external }],
      },
      routes: ['0.0.0.0/1', '10.64.0.0/12', '10.64.0.0/22', '10.80.0.0/22', '128.0.0.0/1', 'default'],
    },
  ],
  [
    'no external side',
    { conf: { external: null } },
    {
      result: { interfaces: named('eth0', expect.stringMatching(/^si/)), ips: [{ address: internal }] },
      routes: ['10.64.0.0/12', '10.64.0.0/22', 'default'],
    },
  ],
  [
    'no internal side',
    { conf: { internal: null } },
    {
      result: { interfaces: named('eth0', expect.stringMatching(/^se/)), ips: [{ address: external }] },
      routes: ['10.80.0.0/22', 'default'],
    },
  ],
  [
    'a name for the internal interface',
    { conf: { internal: { interface: 'lan0' } } },
    { result: { interfaces: named('eth0', 'lan0', ...twoSides.slice(2)) } },
  ],
  [
    'a name for the external interface where it is the second',
    { conf: { primary: 'internal', external: { interface: 'wan0' } } },
    { result: { interfaces: named('eth0', 'wan0', expect.anything(), expect.anything()) } },
  ],
  [
    'another CNI_IFNAME',
    { ifname: 'net1' },
    { result: { interfaces: named('net1', 'eth1', ...twoSides.slice(2)) }, record: { ifName: 'net1' } },
  ],
];

export const NAMES: [string, Wish, Expected][] = [
  [
    'static addresses by name',
    { conf: { static: { db: { internal: '10.64.1.9', external: '10.80.1.9' } } }, args: 'SLUICE_NAME=db' },
    { result: { ips: [{ address: '10.80.1.9/22' }, { address: '10.64.1.9/22' }] } },
  ],
  [
    'static addresses of somebody else',
    { conf: { static: { db: { internal: '10.64.1.9' } } }, args: 'SLUICE_NAME=web' },
    { record: { containerName: 'web', nics: expect.not.arrayContaining([side('internal', '10.64.1.9')]) } },
  ],
  ['the tenant of the network', { conf: { tenant: 'green' } }, { record: { tenant: 'green' } }],
  ['a tenant by trusted CNI_ARGS', { args: 'SLUICE_TENANT=green' }, { record: { tenant: 'green' } }],
  [
    'a tenant by the namespace map',
    { args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart' },
    { record: { tenant: 'green', containerName: 'shop.cart' } },
  ],
  [
    'a namespace that is mapped to no tenant: the tenant of the network',
    { args: 'K8S_POD_NAMESPACE=other;K8S_POD_NAME=cart' },
    { record: { tenant: 'blue' } },
  ],
  [
    'a pod annotation that names a tenant: it does not count',
    { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { SLUICE_TENANT: 'green' } } },
    { record: { tenant: 'blue' } },
  ],
  [
    'unknown CNI_ARGS that may be ignored',
    { args: 'IgnoreUnknown=1;COLOUR=red;SLUICE_NAME=n1' },
    { record: { containerName: 'n1' } },
  ],
  [
    'a pod name too long for a container name',
    { args: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${'p'.repeat(200)}` },
    { record: { containerName: null } },
  ],
];

const earlier = (ip: object) => ({
  interfaces: [{ name: 'cni0' }, { name: 'tap0', sandbox: '/run/netns/x' }],
  ips: [ip],
  routes: [{ dst: '172.16.0.0/12' }],
  dns: {},
});
export const CHAINS: [string, Wish, Expected][] = [
  [
    'a prevResult, whose interfaces keep their numbers',
    { conf: { prevResult: { cniVersion: '1.1.0', ...earlier({ address: '172.16.0.5/24', interface: 1 }) } } },
    {
      result: {
        interfaces: named('cni0', 'tap0', ...twoSides),
        ips: [
          { address: '172.16.0.5/24', interface: 1 },
          { address: external, interface: 2 },
          { address: internal, interface: 3 },
        ],
        routes: expect.arrayContaining([{ dst: '172.16.0.0/12' }]),
      },
    },
  ],
  [
    'a prevResult of 0.4.0 in a chain of 1.1.0',
    {
      conf: {
        prevResult: {
          cniVersion: '0.4.0',
          ...earlier({ version: '4', address: '172.16.0.6/24', interface: 1 }),
        },
      },
    },
    {
      result: {
        cniVersion: '1.1.0',
        ips: [{ address: '172.16.0.6/24', interface: 1 }, expect.anything(), expect.anything()],
      },
    },
  ],
];
