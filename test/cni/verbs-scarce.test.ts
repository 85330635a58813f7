/** Addresses that are scarce: five per side, and a short rest before they are given again. Needs root. */
import { eventually } from '../fence/wire.ts';
import { cniErrorOf, openVerbsLab, residue, type Sandbox, type VerbsLab } from './verbs-lab.ts';

const COOLDOWN_SECONDS = 2;
/** A /29 less network, gateway and broadcast address. */
const USABLE = 5;

let verbs: VerbsLab;
beforeAll(async () => {
  verbs = await openVerbsLab('verbsfew', { blockPrefix: 29, addressCooldownSeconds: COOLDOWN_SECONDS });
});
afterAll(() => verbs?.lab.close());

const addressesOf = async (sandbox: Sandbox): Promise<string[]> =>
  (await verbs.done('ADD', sandbox)).ips.map(({ address }) => address);

it('an exhausted block refuses, leaves nothing, and gives a released address only after its rest', async () => {
  const all = await Promise.all(Array.from({ length: USABLE }, () => verbs.sandbox()));
  const given = await Promise.all(all.map(addressesOf));
  expect(new Set(given.flat()).size).toBe(2 * USABLE);

  const late = await verbs.sandbox();
  const full = await residue(verbs.node);
  expect(await verbs.cni('ADD', late)).toEqual(cniErrorOf(101, /no free address: 5 in use/));
  expect(await verbs.cni('ADD', late, { conf: { external: null } })).toEqual(
    cniErrorOf(101, /10\.64\.0\.0\/29/),
  );
  expect(await residue(verbs.node)).toEqual(full);

  const before = performance.now();
  await verbs.done('DEL', all[2]!);
  const refusals: unknown[] = [];
  const again = await eventually('a rested address is given', async () => {
    const { code, json } = await verbs.cni('ADD', late);
    if (code === 0) return json as { ips: { address: string }[] };
    refusals.push(json);
    return undefined;
  });
  expect(performance.now() - before).toBeGreaterThanOrEqual(COOLDOWN_SECONDS * 1_000);
  expect(again.ips.map(({ address }) => address)).toEqual(given[2]);
  for (const refusal of refusals)
    expect(refusal).toMatchObject({ code: 101, msg: expect.stringContaining('1 released') });
  await Promise.all([...all, late].map((sandbox) => verbs.done('DEL', sandbox)));
});

it('who names an address gets it at once, although it rests', async () => {
  const [first, second] = [await verbs.sandbox(), await verbs.sandbox()];
  const wish = { runtimeConfig: { ips: ['10.64.0.4', '10.80.0.4'] } };
  await verbs.done('ADD', first, wish);
  await verbs.done('DEL', first);
  expect((await verbs.done('ADD', second, wish)).ips.map(({ address }) => address)).toEqual([
    '10.80.0.4/29',
    '10.64.0.4/29',
  ]);
  await verbs.done('DEL', second);
});

it('refused ADDs hold no address', async () => {
  const taken = await verbs.sandbox();
  const ports = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
  await eventually(
    'the block has rested',
    async () => (await verbs.cni('ADD', taken, ports)).code === 0 || undefined,
  );
  for (let tries = 0; tries < 2 * USABLE; tries++) {
    expect(await verbs.cni('ADD', await verbs.sandbox(), ports)).toEqual(cniErrorOf(102, '8080'));
  }
  await verbs.done('ADD', await verbs.sandbox());
});
