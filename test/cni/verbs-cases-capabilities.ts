/** ADDs that differ in what the runtime asks for one container. */
import { type Expected, external, internal } from './verbs-cases-network.ts';
import type { Wish } from './verbs-lab.ts';

const port = (hostPort: number, containerPort: number, more: object = {}) => ({
  hostPort,
  containerPort,
  ...more,
});

export const PORTS: [string, Wish, Expected][] = [
  [
    'a published port',
    { runtimeConfig: { portMappings: [port(8080, 80, { protocol: 'tcp' })] } },
    { published: ['tcp . 8080 : ADDRESS . 80'] },
  ],
  [
    "a published port in containerd's spelling",
    { runtimeConfig: { portMappings: [{ HostPort: 8081, ContainerPort: 80, Protocol: 'TCP', HostIP: '' }] } },
    { published: ['tcp . 8081 : ADDRESS . 80'] },
  ],
  [
    'a published UDP port',
    { runtimeConfig: { portMappings: [port(5353, 53, { protocol: 'udp' })] } },
    { published: ['udp . 5353 : ADDRESS . 53'] },
  ],
  [
    'a port on one address of the node',
    { runtimeConfig: { portMappings: [port(8082, 80, { hostIP: '192.0.2.1' })] } },
    { published: ['192.0.2.1 . tcp . 8082 : ADDRESS . 80'] },
  ],
  [
    'a port on 0.0.0.0, which is any address',
    { runtimeConfig: { portMappings: [port(8083, 80, { hostIP: '0.0.0.0' })] } },
    { published: ['tcp . 8083 : ADDRESS . 80'] },
  ],
  [
    'several ports',
    {
      runtimeConfig: {
        portMappings: [
          port(8084, 80),
          port(8084, 80, { protocol: 'udp' }),
          port(8443, 443),
          port(8085, 80, { hostIP: '192.0.2.1' }),
        ],
      },
    },
    {
      published: [
        '192.0.2.1 . tcp . 8085 : ADDRESS . 80',
        'tcp . 8084 : ADDRESS . 80',
        'tcp . 8443 : ADDRESS . 443',
        'udp . 8084 : ADDRESS . 80',
      ],
    },
  ],
  [
    'one mapping given twice',
    { runtimeConfig: { portMappings: [port(8086, 80), port(8086, 80)] } },
    { published: ['tcp . 8086 : ADDRESS . 80'] },
  ],
];

export const WISHES: [string, Wish, Expected][] = [
  [
    'an address of the internal block',
    { runtimeConfig: { ips: ['10.64.2.7'] } },
    { result: { ips: [{ address: external }, { address: '10.64.2.7/22' }] } },
  ],
  [
    'an address on each side, with prefix',
    { runtimeConfig: { ips: ['10.64.2.8/22', '10.80.2.8/16'] } },
    { result: { ips: [{ address: '10.80.2.8/22' }, { address: '10.64.2.8/22' }] } },
  ],
  [
    'an address by args.cni.ips',
    { conf: { args: { cni: { ips: ['10.80.2.9'] } } } },
    { result: { ips: [{ address: '10.80.2.9/22' }, { address: internal }] } },
  ],
  [
    'an address by CNI_ARGS',
    { args: 'IP=10.80.2.10' },
    { result: { ips: [{ address: '10.80.2.10/22' }, { address: internal }] } },
  ],
  [
    'an address by the runtime, which outdoes CNI_ARGS',
    { runtimeConfig: { ips: ['10.80.2.11'] }, args: 'IP=10.80.2.12' },
    { result: { ips: [{ address: '10.80.2.11/22' }, { address: internal }] } },
  ],
  [
    'a MAC for the primary interface',
    { runtimeConfig: { mac: '02:11:22:33:44:55' } },
    {
      result: {
        interfaces: expect.arrayContaining([
          expect.objectContaining({ name: 'eth0', mac: '02:11:22:33:44:55' }),
        ]),
      },
    },
  ],
  [
    'a MAC by CNI_ARGS',
    { args: 'MAC=02:11:22:33:44:66' },
    {
      result: {
        interfaces: expect.arrayContaining([
          expect.objectContaining({ name: 'eth0', mac: '02:11:22:33:44:66' }),
        ]),
      },
    },
  ],
  [
    'name servers by the runtime',
    { runtimeConfig: { dns: { servers: ['10.0.0.53'], searches: ['svc.local'], options: ['ndots:5'] } } },
    { result: { dns: { nameservers: ['10.0.0.53'], search: ['svc.local'], options: ['ndots:5'] } } },
  ],
  [
    'name servers of the network',
    { conf: { dns: { nameservers: ['10.0.0.54'], domain: 'local' } } },
    { result: { dns: { nameservers: ['10.0.0.54'], domain: 'local' } } },
  ],
  ['aliases', { runtimeConfig: { aliases: ['db', 'master'] } }, { record: { aliases: ['db', 'master'] } }],
  [
    'aliases per network, as podman gives them',
    { runtimeConfig: { aliases: { tenants: ['db'], others: ['no'] } } },
    { record: { aliases: ['db'] } },
  ],
  [
    'a cgroup path',
    { runtimeConfig: { cgroupPath: '/kubepods/pod1' } },
    { record: { cgroupPath: '/kubepods/pod1' } },
  ],
  [
    'rates',
    { runtimeConfig: { bandwidth: { ingressRate: 1_000_000, ingressBurst: 80_000, egressRate: 0 } } },
    { record: { bandwidth: { ingressRate: 1_000_000, ingressBurst: 80_000 } } },
  ],
  [
    'pod annotations',
    { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { team: 'shop' } } },
    { record: { podAnnotations: { team: 'shop' } } },
  ],
  [
    'nulls for all that a Go program leaves empty',
    { runtimeConfig: { portMappings: null, ips: null, aliases: null, dns: null, bandwidth: null, mac: '' } },
    { record: { ports: [], aliases: [], bandwidth: null } },
  ],
  [
    'capabilities declared and not used',
    { conf: { capabilities: { portMappings: true, ips: true, mac: true, dns: true } } },
    { record: { ports: [] } },
  ],
];
