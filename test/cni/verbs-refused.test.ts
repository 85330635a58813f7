/** Bad input to the plugin on a real node: an error that says what to do, and nothing left behind. Needs root. */
import { HOSTILE, REFUSALS, type Refusal } from './verbs-cases-refused.ts';
import {
  askNetd,
  cniErrorOf,
  confText,
  inside,
  openVerbsLab,
  rawCall,
  residue,
  type Sandbox,
  type VerbsLab,
} from './verbs-lab.ts';

let verbs: VerbsLab;
let holder: Sandbox;
/** Whoever is refused here has a namespace, and it stays empty. */
let victim: Sandbox;
const HELD = {
  conf: { static: { holder: { internal: '10.64.3.3', external: '10.80.3.3' } } },
  args: 'SLUICE_NAME=holder',
};

beforeAll(async () => {
  verbs = await openVerbsLab('verbsref');
  holder = await verbs.sandbox();
  victim = await verbs.sandbox();
  const portMappings = [
    { hostPort: 8080, containerPort: 80 },
    { hostPort: 8081, containerPort: 80, hostIP: '192.0.2.1' },
  ];
  await verbs.done('ADD', holder, { ...HELD, runtimeConfig: { portMappings } });
});
afterAll(() => verbs?.lab.close());

describe('refuses', () => {
  it.each([
    ...REFUSALS,
    ...HOSTILE.map((name): Refusal => [`network ${word(name)}`, { conf: { name } }, 7, /name/]),
    ...HOSTILE.map((tenant): Refusal => [`tenant ${word(tenant)}`, { conf: { tenant } }, 7, /tenant/]),
    ...HOSTILE.map(
      (name): Refusal => [
        `container name ${word(name)}`,
        { args: `SLUICE_NAME=${name}` },
        4,
        /SLUICE_NAME|KEY=VALUE/,
      ],
    ),
  ])('%s', (_, wish, code, message) =>
    leavesNothing(async () => {
      const outcome = await verbs.cni('ADD', victim, wish);
      const asked = wish.conf?.['cniVersion'];
      expect(outcome).toEqual(cniErrorOf(code, message, typeof asked === 'string' ? asked : '1.1.0'));
    }),
  );

  it.each(HOSTILE.map((id) => [word(id), id]))('container id %s, also for DEL', (_, id) =>
    leavesNothing(async () => {
      for (const verb of ['ADD', 'DEL'] as const) {
        expect(await verbs.cni(verb, { ...victim, id })).toEqual(cniErrorOf(4, 'CNI_CONTAINERID'));
      }
    }),
  );
});

describe('refuses a namespace', () => {
  it.each([
    ['that is missing in the environment', () => ({ id: 'x' }), 4, /CNI_NETNS is missing/],
    ['that is not there', () => ({ id: 'x', netns: '/run/netns/verbsref.nowhere' }), 107, /nowhere/],
    ['that is another kind of file', () => ({ id: 'x', netns: '/etc/passwd' }), 107, /passwd/],
    ['that is relative', () => ({ id: 'x', netns: 'run/netns/x' }), 4, /CNI_NETNS/],
    [
      'that is longer than a path can be',
      () => ({ id: 'x', netns: `/${'n'.repeat(5_000)}` }),
      4,
      /CNI_NETNS/,
    ],
    ['that is of another kind', () => ({ id: 'x', netns: '/proc/self/ns/mnt' }), 107, /mnt/],
    ['that is the node itself', () => ({ id: 'x', netns: verbs.node.netns }), 4, /node itself/],
    [
      "that is another container's, whose interface names are taken",
      () => ({ id: 'x', netns: holder.netns }),
      5,
      /eth0|exists/i,
    ],
  ])('%s', (_, sandbox, code, message) =>
    leavesNothing(async () => {
      expect(await verbs.cni('ADD', sandbox())).toEqual(cniErrorOf(code, message));
    }),
  );
});

describe("a foreign container's id", () => {
  it('is not attached a second time, in whatever namespace', () =>
    leavesNothing(async () => {
      expect(await verbs.cni('ADD', { ...victim, id: holder.id })).toEqual(cniErrorOf(105, holder.id));
    }));

  it('does not pass CHECK from another namespace', () =>
    leavesNothing(async () => {
      expect(await verbs.cni('CHECK', { ...victim, id: holder.id })).toEqual(
        cniErrorOf(108, 'is not the namespace'),
      );
    }));

  it('is unknown to CHECK when it was never attached', () =>
    leavesNothing(async () => {
      expect(await verbs.cni('CHECK', victim)).toEqual(cniErrorOf(3, victim.id));
    }));
});

describe('refuses input', () => {
  const env = { CNI_COMMAND: 'ADD', CNI_IFNAME: 'eth0' };
  it.each([
    ['that is empty', '', 6, /JSON/],
    ['that is no JSON', '{"cniVersion":"1.1.0",', 6, /JSON/],
    ['that is a list', '[]', 7, /not an object/],
    ['that is a number', '7', 7, /not an object/],
    ['of 2 MiB', `{"cniVersion":"1.1.0","name":"${'x'.repeat(2 ** 21)}"}`, 6, /MiB|large/],
    ['nested a hundred thousand deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 7, /not an object/],
  ])('%s', (_, stdin, code, message) =>
    leavesNothing(async () => {
      const outcome = await rawCall(
        verbs,
        { ...env, CNI_CONTAINERID: victim.id, CNI_NETNS: victim.netns },
        stdin,
      );
      expect(outcome).toEqual(cniErrorOf(code, message, expect.stringMatching(/^\d\.\d\.\d$/) as never));
    }),
  );

  it('that is a whole list of plugins', () =>
    leavesNothing(async () => {
      const stdin = JSON.stringify({
        cniVersion: '1.1.0',
        name: 'tenants',
        plugins: [JSON.parse(confText(verbs))],
      });
      const outcome = await rawCall(
        verbs,
        { ...env, CNI_CONTAINERID: victim.id, CNI_NETNS: victim.netns },
        stdin,
      );
      expect(outcome).toEqual(cniErrorOf(7, 'list of plugins'));
    }));

  it.each([
    ['a CNI_COMMAND there is', { CNI_COMMAND: 'add' }, /CNI_COMMAND/],
    [
      'CNI_CONTAINERID',
      { CNI_COMMAND: 'ADD', CNI_IFNAME: 'eth0', CNI_NETNS: '/run/netns/x' },
      /CNI_CONTAINERID/,
    ],
    ['CNI_IFNAME', { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'x', CNI_NETNS: '/run/netns/x' }, /CNI_IFNAME/],
  ])('without %s', (_, given, message) =>
    leavesNothing(async () => {
      expect(await rawCall(verbs, given as Record<string, string>, confText(verbs))).toEqual(
        cniErrorOf(4, message),
      );
    }),
  );
});

it('the container that was there all along is unharmed', async () => {
  await verbs.done('CHECK', holder, HELD);
  expect(await askNetd(verbs.node, 'POST', '/v1/reconcile')).toEqual({
    adopted: 1,
    repaired: [],
    removed: [],
    failed: [],
  });
});

async function leavesNothing(call: () => Promise<void>): Promise<void> {
  const before = await residue(verbs.node);
  await call();
  expect(await residue(verbs.node)).toEqual(before);
  expect(await inside(victim)).toEqual([]);
}

/** A hostile value for the name of a case. */
function word(value: string): string {
  return JSON.stringify(value.length > 20 ? `${value.slice(0, 4)}… of ${value.length} characters` : value);
}
