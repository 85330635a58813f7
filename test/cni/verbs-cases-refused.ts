/** ADDs that are refused, each with the error's code and what its message must say. */
import type { Wish } from './verbs-lab.ts';

export type Refusal = [name: string, wish: Wish, code: number, message: RegExp];

const publish = (mapping: object): Wish => ({ runtimeConfig: { portMappings: [mapping] } });
const LONG = 'x'.repeat(300);
/** Names that would do harm in a path, a shell, a log or an argument list. */
export const HOSTILE = ['../../etc', 'a\nb', '$(reboot)', '; rm -rf /', LONG, 'a b', '-rf', 'ä'] as const;

export const REFUSALS: Refusal[] = [
  ['an unknown key', { conf: { tennant: 'blue' } }, 7, /unknown key "tennant"/],
  ['an unknown key of a side', { conf: { internal: { iface: 'x' } } }, 7, /"iface"/],
  ['an unknown capability', { runtimeConfig: { portMapping: [] } }, 7, /"portMapping"/],
  ['no side at all', { conf: { internal: null, external: null } }, 7, /internal.*null/],
  ['a primary side that is null', { conf: { primary: 'internal', internal: null } }, 7, /primary/],
  ['one name for both interfaces', { conf: { internal: { interface: 'eth0' } } }, 7, /eth0/],
  ['a tenant nobody knows', { conf: { tenant: 'nobody' } }, 100, /nobody/],
  ['a tenant nobody knows, by CNI_ARGS', { args: 'SLUICE_TENANT=nobody' }, 100, /nobody/],
  [
    'a tenant by CNI_ARGS that are not trusted',
    { conf: { trustArgs: false }, args: 'SLUICE_TENANT=green' },
    103,
    /trust/,
  ],
  ['its own figures on a node without lxcfs', { conf: { views: true } }, 2, /views\.lxcfs off/],
  ['no tenant from anywhere', { conf: { tenant: undefined } }, 103, /tenant/],
  ['CNI_ARGS with an unknown key', { args: 'COLOUR=red' }, 4, /COLOUR/],
  ['CNI_ARGS that name two tenants', { args: 'SLUICE_TENANT=blue;SLUICE_TENANT=green' }, 4, /SLUICE_TENANT/],
  ['CNI_ARGS of 5000 characters', { args: `SLUICE_NAME=${'x'.repeat(5_000)}` }, 4, /CNI_ARGS/],
  ['CNI_ARGS that are no pairs', { args: 'SLUICE_TENANT' }, 4, /KEY=VALUE/],
  ['a taken port', publish({ hostPort: 8080, containerPort: 80 }), 102, /8080.*case-1/],
  [
    'a port that is taken on one address of the node',
    publish({ hostPort: 8081, containerPort: 80 }),
    102,
    /8081.*case-1/,
  ],
  [
    'a port on one address that is taken on all',
    publish({ hostPort: 8080, containerPort: 80, hostIP: '192.0.2.1' }),
    102,
    /8080/,
  ],
  [
    'a second port that is taken',
    {
      runtimeConfig: {
        portMappings: [
          { hostPort: 9000, containerPort: 1 },
          { hostPort: 8080, containerPort: 80 },
        ],
      },
    },
    102,
    /8080/,
  ],
  [
    'a port for two purposes',
    {
      runtimeConfig: {
        portMappings: [
          { hostPort: 9000, containerPort: 1 },
          { hostPort: 9000, containerPort: 2 },
        ],
      },
    },
    7,
    /mapped twice/,
  ],
  ["the port of the cluster's server", publish({ hostPort: 7070, containerPort: 80 }), 102, /7070/],
  ['port 0', publish({ hostPort: 0, containerPort: 80 }), 7, /hostPort/],
  ['port 65536', publish({ hostPort: 65_536, containerPort: 80 }), 7, /hostPort/],
  ['SCTP', publish({ hostPort: 9000, containerPort: 80, protocol: 'sctp' }), 2, /sctp/],
  [
    'an IPv6 host address',
    publish({ hostPort: 9000, containerPort: 80, hostIP: '2001:db8::1' }),
    2,
    /2001:db8::1/,
  ],
  [
    'a port without the external side',
    { ...publish({ hostPort: 9000, containerPort: 80 }), conf: { external: null } },
    7,
    /external/,
  ],
  ['an address of no block', { runtimeConfig: { ips: ['172.16.0.1'] } }, 7, /no block of this node/],
  [
    'an address of a side it does not have',
    { runtimeConfig: { ips: ['10.80.0.9'] }, conf: { external: null } },
    7,
    /10\.80\.0\.9/,
  ],
  ["the gateway's address", { runtimeConfig: { ips: ['10.64.0.1'] } }, 7, /10\.64\.0\.1/],
  ['the broadcast address', { runtimeConfig: { ips: ['10.64.3.255'] } }, 7, /10\.64\.3\.255/],
  ['a taken address', { runtimeConfig: { ips: ['10.64.3.3'] } }, 101, /10\.64\.3\.3 is held/],
  [
    'a static address that is taken',
    { conf: { static: { other: { external: '10.80.3.3' } } }, args: 'SLUICE_NAME=other' },
    101,
    /10\.80\.3\.3/,
  ],
  ['an IPv6 address', { runtimeConfig: { ips: ['2001:db8::9/64'] } }, 2, /IPv6/],
  ['an address that is none', { runtimeConfig: { ips: ['10.64.0.300'] } }, 7, /10\.64\.0\.300/],
  ['a multicast MAC', { runtimeConfig: { mac: '01:00:5e:00:00:01' } }, 7, /mac/],
  ['a MAC that is none', { runtimeConfig: { mac: 'zz:zz' } }, 7, /mac/],
  [
    'a name server with a line break',
    { runtimeConfig: { dns: { servers: ['1.1.1.1\nnameserver 6.6.6.6'] } } },
    7,
    /dns/,
  ],
  [
    'a search domain with a line break',
    { conf: { dns: { search: ['a\nnameserver 6.6.6.6'] } } },
    7,
    /search/,
  ],
  ['a cgroup path that climbs', { runtimeConfig: { cgroupPath: '/kubepods/../../system' } }, 7, /cgroupPath/],
  ['a rate below zero', { runtimeConfig: { bandwidth: { ingressRate: -1 } } }, 7, /ingressRate/],
  ['an IPAM plugin', { conf: { ipam: { type: 'host-local' } } }, 2, /ipam/],
  ['an earlier cniVersion', { conf: { cniVersion: '0.3.1' } }, 1, /0\.3\.1/],
  ['a later cniVersion', { conf: { cniVersion: '2.0.0' } }, 1, /2\.0\.0/],
  ['a prevResult of 0.2.0', { conf: { prevResult: { cniVersion: '0.2.0', ip4: {} } } }, 1, /prevResult/],
  ['the loopback as CNI_IFNAME', { ifname: 'lo' }, 4, /CNI_IFNAME/],
  ['a CNI_IFNAME of 16 characters', { ifname: 'e'.repeat(16) }, 4, /CNI_IFNAME/],
  ['a CNI_IFNAME that is a path', { ifname: '../eth0' }, 4, /CNI_IFNAME/],
  ['a network name with NUL', { conf: { name: 'ten\0ants' } }, 7, /name/],
  ['a tenant with NUL', { conf: { tenant: 'blue\0' } }, 7, /tenant/],
];
