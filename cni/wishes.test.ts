import { type Json, wishes } from '../test/cni/call.ts';

describe('what a runtime may ask for', () => {
  const port = { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIp: null };
  const ports: [string, Json, Json][] = [
    ["podman's spelling", { hostPort: 8080, containerPort: 80, protocol: 'tcp' }, port],
    ["containerd's spelling", { HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }, port],
    ['capitals in the protocol', { hostPort: 8080, containerPort: 80, protocol: 'TCP' }, port],
    ['udp', { hostPort: 8080, containerPort: 80, protocol: 'Udp' }, { ...port, protocol: 'udp' }],
    ['no protocol', { hostPort: 8080, containerPort: 80 }, port],
    ['host address 0.0.0.0', { hostPort: 8080, containerPort: 80, hostIP: '0.0.0.0' }, port],
    ['host address ::', { hostPort: 8080, containerPort: 80, hostIP: '::' }, port],
    [
      'a host address',
      { hostPort: 8080, containerPort: 80, hostIP: '192.0.2.1' },
      { ...port, hostIp: '192.0.2.1' },
    ],
  ];
  it.each(ports)('published port: %s', (_, given, expected) => {
    expect(wishes({ portMappings: [given, given] }).ports).toEqual([expected]);
  });

  const capabilities: [string, Json, Json][] = [
    [
      'null is nothing',
      { portMappings: null, ips: null, dns: null, aliases: null, mac: null },
      { ports: [], ips: [] },
    ],
    [
      'ips with and without a length',
      { ips: ['10.64.0.7/22', '10.80.0.7'] },
      { ips: ['10.64.0.7', '10.80.0.7'] },
    ],
    ['a MAC address in capitals', { mac: '02:5C:0A:40:00:07' }, { mac: '02:5c:0a:40:00:07' }],
    ['an empty MAC address', { mac: '' }, { mac: null }],
    [
      'dns',
      { dns: { servers: ['10.64.0.1', '2001:db8::1'] } },
      { dns: { nameservers: ['10.64.0.1', '2001:db8::1'] } },
    ],
    [
      "containerd's dns",
      { dns: { Servers: null, Searches: ['a.b'], Options: ['ndots:5'] } },
      { dns: { search: ['a.b'], options: ['ndots:5'] } },
    ],
    ['an empty dns', { dns: { Servers: [], Searches: null } }, { dns: null }],
    ['aliases as a list', { aliases: ['db', 'db-1'] }, { aliases: ['db', 'db-1'] }],
    ["podman's aliases, per network", { aliases: { tenants: ['db'], other: ['x'] } }, { aliases: ['db'] }],
    ['aliases for other networks only', { aliases: { other: ['x'] } }, { aliases: [] }],
    ['a cgroup path', { cgroupPath: '/kubepods/pod1' }, { cgroupPath: '/kubepods/pod1' }],
    ['an empty cgroup path', { cgroupPath: '' }, { cgroupPath: null }],
    [
      'bandwidth',
      { bandwidth: { ingressRate: 1000, ingressBurst: 64 } },
      { bandwidth: { ingressRate: 1000, ingressBurst: 64 } },
    ],
    [
      "containerd's bandwidth: endless burst, zero for none",
      { bandwidth: { IngressRate: 0, IngressBurst: 0, EgressRate: 8000, EgressBurst: 4294967295 } },
      { bandwidth: { egressRate: 8000, egressBurst: 4294967295 } },
    ],
    ['bandwidth of nothing', { bandwidth: { ingressRate: 0 } }, { bandwidth: null }],
    [
      'pod annotations',
      { 'io.kubernetes.cri.pod-annotations': { 'sluice/tenant': 'red' } },
      { podAnnotations: { 'sluice/tenant': 'red' } },
    ],
  ];
  it.each(capabilities)('capability: %s', (_, runtimeConfig, expected) => {
    expect(wishes(runtimeConfig)).toMatchObject(expected);
  });

  it('prefers structured addresses to CNI_ARGS, key by key', () => {
    const env = { CNI_ARGS: 'IP=10.64.0.1;MAC=02:00:00:00:00:01' };
    expect(wishes({ ips: ['10.64.0.3'] }, { args: { cni: { ips: ['10.64.0.2'] } } }, env).ips).toEqual([
      '10.64.0.3',
    ]);
    expect(wishes({}, { args: { cni: { ips: ['10.64.0.2/22'] } } }, env).ips).toEqual(['10.64.0.2']);
    expect(wishes({}, {}, env)).toMatchObject({ ips: ['10.64.0.1'], mac: '02:00:00:00:00:01' });
    expect(wishes({ mac: '02:00:00:00:00:02' }, {}, env).mac).toBe('02:00:00:00:00:02');
  });

  it("lets the runtime's dns replace the network's key by key", () => {
    const dns = { nameservers: ['192.0.2.1'], domain: 'shop.example' };
    expect(wishes({ dns: { servers: ['192.0.2.2'] } }, { dns }).dns).toEqual({
      nameservers: ['192.0.2.2'],
      domain: 'shop.example',
    });
  });
});
