/** Whatever arrives at the plugin is understood, or refused with an error of ours. */
import fc from 'fast-check';
import { type CniError, cniError } from '../../cni/error.ts';
import { readRelayedCall } from '../../cni/relay.ts';
import { type CniRequest, parseRequest } from '../../cni/request.ts';
import { versionForErrors } from '../../cni/version.ts';
import { SluiceError } from '../../model/errors.ts';

const command = fc.constantFrom('ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION', '', 'add');
const maybe = <T>(good: T, bad: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: bad });
const text = fc.string({ unit: 'binary', maxLength: 40 });

const env = fc.record({
  CNI_COMMAND: command,
  CNI_CONTAINERID: maybe('c1', text),
  CNI_NETNS: maybe('/run/netns/x', text),
  CNI_IFNAME: maybe('eth0', text),
  CNI_ARGS: fc.oneof(
    text,
    fc
      .array(
        fc.tuple(
          fc.constantFrom('IP', 'MAC', 'SLUICE_TENANT', 'SLUICE_NAME', 'K8S_POD_NAME', 'IgnoreUnknown'),
          text,
        ),
        { maxLength: 4 },
      )
      .map((pairs) => pairs.map((pair) => pair.join('=')).join(';')),
  ),
});

/** Every key of the schema, with values that are sometimes right. */
const keys = [
  ...[
    'name',
    'type',
    'runDir',
    'tenant',
    'trustArgs',
    'primary',
    'external',
    'internal',
    'ipv6',
    'views',
    'sticky',
    'static',
  ],
  ...[
    'dns',
    'ipam',
    'args',
    'capabilities',
    'runtimeConfig',
    'prevResult',
    'cni.dev/valid-attachments',
    '__proto__',
  ],
];
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(null, {}, [], true, 'internal', { interface: 'eth0' }, { db: { internal: '10.64.0.9' } }),
  fc.constantFrom(
    { portMappings: [{ HostPort: 1, ContainerPort: 1 }], ips: ['10.64.0.7/22'] },
    { aliases: { tenants: ['a'] }, dns: { Servers: null }, bandwidth: { IngressBurst: 4294967295 } },
    { interfaces: [{ name: 'x' }], ips: [{ address: '10.0.0.1/8', interface: 0 }] },
  ),
);
const configuration = fc
  .tuple(
    fc.constantFrom('0.4.0', '1.0.0', '1.1.0', '0.1.0', 7),
    fc.array(fc.tuple(fc.constantFrom(...keys), value)),
  )
  .map(([cniVersion, entries]) =>
    JSON.stringify({ cniVersion, name: 'tenants', type: 'sluice-cni', ...Object.fromEntries(entries) }),
  );

/** The request, or the refusal as netd would send it. Anything else thrown fails the property. */
function ask(parse: () => CniRequest, stdin: string): CniRequest | CniError {
  try {
    return parse();
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown;
    return cniError(thrown, versionForErrors(stdin));
  }
}

describe('parseRequest', () => {
  it('throws nothing but our errors, each with a code of the specification, a message and a hint', () => {
    fc.assert(
      fc.property(env, fc.oneof(configuration, text, fc.json()), (variables, stdin) => {
        const answer = ask(() => parseRequest(variables, stdin), stdin);
        if ('command' in answer) return;
        expect([1, 2, 4, 6, 7]).toContain(answer.code);
        expect(answer.msg).not.toBe('');
        expect(answer.details).not.toBe('');
        expect(JSON.stringify(answer).length).toBeLessThan(2000);
      }),
      { numRuns: 3000 },
    );
  });

  it('lets nothing through that is unfit for a path, a shell or a resolver', () => {
    fc.assert(
      fc.property(env, configuration, (variables, stdin) => {
        const answer = ask(() => parseRequest(variables, stdin), stdin);
        if (!('command' in answer) || (answer.command !== 'ADD' && answer.command !== 'CHECK')) return;
        const { containerId, ifName, network, containerName, wishes } = answer;
        const names = [
          containerId,
          ifName,
          network,
          containerName ?? 'none',
          ...wishes.nics.map((nic) => nic.ifName),
        ];
        for (const name of [...names, ...wishes.aliases])
          expect(name).toMatch(/^[a-zA-Z0-9_][\w.-]*$|^[.-][\w.-]+$/);
        expect(JSON.stringify(wishes.dns)).not.toMatch(/\\n|\\r| /);
      }),
      { numRuns: 2000 },
    );
  });

  it('understands a DEL of whatever ADD may have been asked', () => {
    fc.assert(
      fc.property(env, configuration, (variables, stdin) => {
        const tuned = { ...variables, CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0' };
        const added = ask(() => parseRequest(tuned, stdin), stdin);
        const deleted = ask(
          () => parseRequest({ ...tuned, CNI_COMMAND: 'DEL', CNI_NETNS: '' }, stdin),
          stdin,
        );
        if ('network' in added) expect(deleted).toMatchObject({ command: 'DEL', network: added.network });
        else if ('code' in deleted) expect([1, 7]).toContain(deleted.code);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('readRelayedCall', () => {
  it('throws nothing but our errors, for any bytes', () => {
    const headers = fc.dictionary(fc.constantFrom('cni-args', 'cni-command', 'cni-netns-fd'), text);
    fc.assert(
      fc.property(headers, fc.uint8Array(), (given, bytes) => {
        const parse = (): CniRequest => {
          const call = readRelayedCall(given, bytes);
          return parseRequest(call.env, call.stdin);
        };
        expect(ask(parse, '')).toBeDefined();
      }),
      { numRuns: 2000 },
    );
  });
});
