/** A switch for two hundred containers of one node: how long from the operator's word to the last read-back. */
import { inhabit } from '../../lab/inhabitant.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { until } from '../faults/crashes.ts';

const CONTAINERS = 200;
const AT_ONCE = 8;
const MIB = 2 ** 20;
const CHANGES = {
  cpu: { do: 'set', value: 1.5 },
  memory: { do: 'set', value: 256 * MIB },
  pids: { do: 'set', value: 300 },
  'net.external.in': { do: 'set', value: 50_000_000 },
  'net.internal.out': { do: 'set', value: 20_000_000 },
};

let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: 'limmany', nodes: ['a'] });
  await lab.start();
  await lab.tenant('blue');
  const names = Array.from({ length: CONTAINERS }, (_, index) => `c${index}`);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const container: LabContainer = await lab.container('a', 'blue', name);
        await inhabit(lab, container, { limits: { memory: 64 * MIB, pids: 50, cpu: 0.5 } });
      }
    }),
  );
  await until('all cgroups are found', async () => (await unlike({ memory: 64 * MIB })) === 0);
});
afterAll(() => lab?.close());

interface Shown {
  readonly fields: readonly { readonly field: string; readonly kernel?: unknown }[];
}

/** How many containers have other values in the kernel. */
async function unlike(wanted: Readonly<Record<string, unknown>>): Promise<number> {
  const client = localClient(`${lab.node('a').runDir}/netd.sock`);
  try {
    const { containers } = (await client.request('GET', '/v1/limits')) as { containers: Shown[] };
    const isWrong = ({ fields }: Shown): boolean =>
      Object.entries(wanted).some(([field, value]) =>
        fields.every((one) => one.field !== field || one.kernel !== value),
      );
    return containers.filter(isWrong).length + CONTAINERS - containers.length;
  } finally {
    client.close();
  }
}

it('holds soon after the operator’s word, and is as before soon after another', async () => {
  const server = localClient(`${lab.node('a').runDir}/server.sock`);
  const times: Record<string, number> = {};
  const timed = async (what: string, path: string, body: object): Promise<unknown> => {
    const begun = performance.now();
    const answer = await server.request('POST', `${path}?waitMs=10000`, body);
    times[what] = Math.round(performance.now() - begun);
    return answer;
  };
  const request = {
    select: { tenant: ['blue'] },
    changes: CHANGES,
    forMs: 60_000,
    reason: 'peak',
    force: true,
  };
  const opened = (await timed('open', '/v1/switches', request)) as {
    switch: { id: string };
    settled: boolean;
  };
  expect(opened.settled).toBe(true);
  expect(await unlike({ cpu: 1.5, memory: 256 * MIB, pids: 300, 'net.external.in': 50_000_000 })).toBe(0);
  await timed('close', `/v1/switches/${opened.switch.id}/close`, { reason: 'over' });
  await until(
    'it is as before',
    async () => (await unlike({ cpu: 0.5, memory: 64 * MIB, 'net.external.in': null })) === 0,
  );
  server.close();
  process.stdout.write(
    `${CONTAINERS} containers, ms from command to last read-back: ${JSON.stringify(times)}\n`,
  );
  // The goal of 500 ms is the benchmarks' (P7.switch), which have the machine to themselves.
  expect(times['open']).toBeLessThan(5_000);
  expect(times['close']).toBeLessThan(5_000);
});
