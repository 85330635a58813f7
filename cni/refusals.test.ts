import { CONF, ENV, type Env, type Json, parse, refusal } from '../test/cni/call.ts';
import { parseRequest } from './request.ts';

describe('a hostile or broken environment', () => {
  const LONG = 'a'.repeat(300);
  const environments: [string, Env, RegExp][] = [
    ['no command', { CNI_COMMAND: '' }, /CNI_COMMAND is missing/],
    ['an unknown command', { CNI_COMMAND: 'add' }, /CNI_COMMAND is "add"/],
    ['no container id', { CNI_CONTAINERID: '' }, /CNI_CONTAINERID is missing/],
    ['a container id that climbs', { CNI_CONTAINERID: '../../etc' }, /CNI_CONTAINERID is "..\/..\/etc"/],
    ['a container id with NUL', { CNI_CONTAINERID: 'a\0b' }, /CNI_CONTAINERID is "a\\u0000b"/],
    ['a container id with a line break', { CNI_CONTAINERID: 'a\n' }, /CNI_CONTAINERID is "a\\n"/],
    ['a container id of 300 characters', { CNI_CONTAINERID: LONG }, /CNI_CONTAINERID .* at most 128/],
    ['shell characters', { CNI_CONTAINERID: '$(reboot)' }, /CNI_CONTAINERID/],
    ['no interface name', { CNI_IFNAME: '' }, /CNI_IFNAME is missing/],
    ['an interface name of 16 characters', { CNI_IFNAME: 'a'.repeat(16) }, /CNI_IFNAME/],
    ['an interface name ..', { CNI_IFNAME: '..' }, /CNI_IFNAME/],
    ['an interface name with a slash', { CNI_IFNAME: '../eth0' }, /CNI_IFNAME/],
    ['the loopback interface', { CNI_IFNAME: 'lo' }, /CNI_IFNAME .* loopback/],
    ['no namespace', { CNI_NETNS: '' }, /CNI_NETNS is missing/],
    ['a relative namespace path', { CNI_NETNS: 'run/netns/x' }, /CNI_NETNS .* absolute/],
    ['a namespace path with a line break', { CNI_NETNS: '/run/netns/x\n' }, /CNI_NETNS/],
    ['a namespace path of 64 KiB', { CNI_NETNS: `/${'x'.repeat(65_536)}` }, /CNI_NETNS .* at most 4096/],
    ['CHECK without a namespace', { CNI_COMMAND: 'CHECK', CNI_NETNS: '' }, /CNI_NETNS/],
    ['DEL without a container', { CNI_COMMAND: 'DEL', CNI_CONTAINERID: '' }, /CNI_CONTAINERID/],
    ['no pairs', { CNI_ARGS: 'IgnoreUnknown' }, /not KEY=VALUE/],
    ['a pair without a key', { CNI_ARGS: '=x' }, /not KEY=VALUE/],
    ['unknown arguments', { CNI_ARGS: 'FOO=1;BAR=2' }, /unknown keys "FOO", "BAR"/],
    ['unknown arguments, not to be ignored', { CNI_ARGS: 'IgnoreUnknown=0;FOO=1' }, /unknown keys "FOO"/],
    [
      'names every object has',
      { CNI_ARGS: 'constructor=1;__proto__=2' },
      /unknown keys "constructor", "__proto__"/,
    ],
    ['IgnoreUnknown that is no boolean', { CNI_ARGS: 'IgnoreUnknown=yes' }, /not a boolean/],
    ['two tenants', { CNI_ARGS: 'SLUICE_TENANT=blue;SLUICE_TENANT=red' }, /"SLUICE_TENANT" two values/],
    ['an empty tenant', { CNI_ARGS: 'SLUICE_TENANT=' }, /SLUICE_TENANT ""/],
    ['a tenant that climbs', { CNI_ARGS: 'SLUICE_TENANT=../red' }, /SLUICE_TENANT/],
    ['a tenant in capitals', { CNI_ARGS: 'SLUICE_TENANT=Blue' }, /SLUICE_TENANT/],
    ['a name that climbs', { CNI_ARGS: 'SLUICE_NAME=../x' }, /SLUICE_NAME/],
    ['a namespace of two labels', { CNI_ARGS: 'K8S_POD_NAMESPACE=a.b' }, /K8S_POD_NAMESPACE/],
    ['a pod name with a line break', { CNI_ARGS: 'K8S_POD_NAME=a\nb' }, /K8S_POD_NAME/],
    ['a pod name of 300 characters', { CNI_ARGS: `K8S_POD_NAME=${LONG}` }, /K8S_POD_NAME/],
    ['an address that is none', { CNI_ARGS: 'IP=10.64.0.300' }, /IP "10.64.0.300"/],
    ['an address in octal', { CNI_ARGS: 'IP=010.64.0.3' }, /IP/],
    ['a multicast MAC address', { CNI_ARGS: 'MAC=01:00:5e:00:00:01' }, /MAC .* multicast/],
  ];
  it.each(environments)('%s: code 4, naming the variable', (_, env, message) => {
    expect(refusal(() => parse({}, env))).toEqual({
      cni: 4,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/./),
    });
  });
});

describe('a hostile or broken configuration', () => {
  const texts: [string, string, number, RegExp][] = [
    ['nothing', '', 6, /not JSON/],
    ['half of an object', '{"cniVersion":"1.1.0"', 6, /not JSON/],
    ['an array', '[]', 7, /not an object/],
    ['null', 'null', 7, /not an object/],
    ['deep nesting', `{"cniVersion":"1.1.0","x":${'['.repeat(5000)}${']'.repeat(5000)}}`, 7, /name/],
    ['a whole list', JSON.stringify({ ...CONF, plugins: [] }), 7, /list of plugins/],
    [
      'a key that would be a prototype',
      '{"cniVersion":"1.1.0","name":"t","type":"t","__proto__":{"tenant":"red"}}',
      7,
      /unknown key "__proto__"/,
    ],
  ];
  it.each(texts)('%s', (_, stdin, cni, message) => {
    expect(refusal(() => parseRequest(ENV, stdin))).toMatchObject({
      cni,
      message: expect.stringMatching(message),
    });
  });

  const port = (more: Json): Json => ({
    runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80, ...more }] },
  });
  const configs: [string, Json, number, RegExp][] = [
    ['no version', { cniVersion: undefined }, 1, /cniVersion is missing/],
    ['an old version', { cniVersion: '0.3.1' }, 1, /"0.3.1" is not supported/],
    ['a version of tomorrow', { cniVersion: '1.2.0' }, 1, /"1.2.0"/],
    ['a version that is a number', { cniVersion: 1 }, 1, /cniVersion 1/],
    ['no name', { name: undefined }, 7, /^name: /],
    ['a name that climbs', { name: '../etc' }, 7, /^name: /],
    ['a name with NUL', { name: 'a\0' }, 7, /^name: /],
    ['a name of 300 characters', { name: 'n'.repeat(300) }, 7, /^name: .* at most 128/],
    ['no type', { type: undefined }, 7, /^type: /],
    ['a type that is a path', { type: '../sh' }, 7, /^type: /],
    ['an unknown key', { bridge: 'cni0' }, 7, /unknown key "bridge"/],
    ['an unknown key inside', { internal: { mtu: 9000 } }, 7, /unknown key "mtu" in internal/],
    [
      'an unknown capability',
      { capabilities: { ipRanges: true } },
      7,
      /unknown key "ipRanges" in capabilities/,
    ],
    [
      'an argument of an unknown capability',
      { runtimeConfig: { ipRanges: [] } },
      7,
      /unknown key "ipRanges" in runtimeConfig/,
    ],
    ['a tenant with a line break', { tenant: 'blue\n' }, 7, /^tenant: /],
    ['trustArgs that is a word', { trustArgs: 'yes' }, 7, /^trustArgs: /],
    [
      'another plugin for addresses',
      { ipam: { type: 'host-local' } },
      2,
      /^ipam: {"type":"host-local"} is not supported/,
    ],
    ['no side at all', { external: null, internal: null }, 7, /^internal: /],
    ['a primary side that is not there', { primary: 'external', external: null }, 7, /^primary: /],
    ['a primary side of another name', { primary: 'outside' }, 7, /^primary: /],
    [
      'both interfaces of one name',
      { internal: { interface: 'eth0' } },
      7,
      /both interfaces would be called eth0/,
    ],
    ['an interface name that climbs', { internal: { interface: '../x' } }, 7, /^internal.interface: /],
    [
      'loopback as the other interface',
      { internal: { interface: 'lo' } },
      7,
      /^internal.interface: .*loopback/,
    ],
    ['a static address for nobody', { static: { '../x': { internal: '10.64.0.9' } } }, 7, /^static/],
    ['a static entry without an address', { static: { db: {} } }, 7, /^static.db: /],
    [
      'one static address for two',
      { static: { a: { internal: '10.64.0.9' }, b: { internal: '10.64.0.9' } } },
      7,
      /10.64.0.9 stands for a and b/,
    ],
    [
      'a static address on no side',
      { external: null, static: { a: { external: '10.80.0.9' } } },
      7,
      /external is null/,
    ],
    ['sctp', port({ protocol: 'sctp' }), 2, /protocol: "sctp" is not supported/],
    ['an IPv6 host address', port({ hostIP: '2001:db8::1' }), 2, /hostIP: "2001:db8::1" is not supported/],
    ['a host address that is none', port({ hostIP: 'localhost' }), 7, /hostIP: "localhost"/],
    ['host port 0', port({ hostPort: 0 }), 7, /hostPort: /],
    ['host port 65536', port({ HostPort: 65_536, hostPort: undefined }), 7, /hostPort: /],
    ['a container port in words', port({ containerPort: 'http' }), 7, /containerPort: /],
    ['a port in both spellings', port({ HostPort: 81 }), 7, /unknown key "HostPort"/],
    [
      'one port for two',
      {
        runtimeConfig: {
          portMappings: [
            { hostPort: 80, containerPort: 80 },
            { hostPort: 80, containerPort: 81 },
          ],
        },
      },
      7,
      /80\/tcp is mapped twice/,
    ],
    ['a port without an external side', { external: null, ...port({}) }, 7, /needs the external side/],
    ['an IPv6 address', { runtimeConfig: { ips: ['fd00::7/64'] } }, 2, /"fd00::7\/64": IPv6/],
    ['an address with an absurd length', { runtimeConfig: { ips: ['10.64.0.7/33'] } }, 7, /"10.64.0.7\/33"/],
    [
      'a name server that is a name',
      { runtimeConfig: { dns: { servers: ['ns.example'] } } },
      7,
      /must be an IP address/,
    ],
    [
      'a line break for resolv.conf',
      { dns: { search: ['a\nnameserver 192.0.2.66'] } },
      7,
      /must be one word/,
    ],
    ['an alias with a slash', { runtimeConfig: { aliases: ['../db'] } }, 7, /aliases.0: /],
    ['a cgroup path that climbs', { runtimeConfig: { cgroupPath: '/kubepods/../..' } }, 7, /cgroupPath: /],
    ['a negative rate', { runtimeConfig: { bandwidth: { ingressRate: -1 } } }, 7, /bandwidth.ingressRate: /],
    [
      'an annotation that is an object',
      { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { a: {} } } },
      7,
      /pod-annotations.a: /,
    ],
    [
      'a previous result of 0.2.0',
      { prevResult: { cniVersion: '0.2.0', ip4: {} } },
      1,
      /prevResult has cniVersion "0.2.0"/,
    ],
    [
      'a previous result that points nowhere',
      { prevResult: { ips: [{ address: '10.0.0.1/8', interface: 0 }] } },
      7,
      /not in the list/,
    ],
    ['a previous result that is a list', { prevResult: [] }, 7, /^prevResult: /],
  ];
  it.each(configs)('%s', (_, conf, cni, message) => {
    const expected = { cni, message: expect.stringMatching(message), hint: expect.stringMatching(/./) };
    expect(refusal(() => parse(conf))).toEqual(expected);
  });

  it('says little of a huge value', () => {
    const { message } = refusal(() => parse({ ['k'.repeat(100_000)]: 1 }));
    expect(message.length).toBeLessThan(200);
  });
});
