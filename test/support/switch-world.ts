/** A server with one node and three containers for each test, and what people ask it about switches. */
import type { ApiClient } from '../../linux/api-client.ts';
import { operatorClient, registerNode } from '../../linux/join.ts';
import type { NodeName } from '../../model/names.ts';
import type { SwitchListed, SwitchPlanned, SwitchShown, SwitchWish } from '../../model/switch-request.ts';
import type { ServerOptions } from '../../orchestrator/server/main.ts';
import { type CreatedToken, type ServerWorld, serverForEachTest, uplink } from '../server-world.ts';
import { ReportingNode, type SampleContainer } from './reporting-node.ts';

export const HOUR = 3_600_000;

export const CONTAINERS: readonly SampleContainer[] = [
  { tenant: 'blue', name: 'cart-1', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
  { tenant: 'blue', name: 'cart-2', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
  { tenant: 'red', name: 'batch-1', app: 'batch', labels: { tier: 'batch' }, limits: { cpu: 2 } },
];

const WISH: SwitchWish = {
  select: { tenant: ['blue'] },
  changes: { 'net.external.out': { do: 'lift' } },
  forMs: HOUR,
  reason: 'sale at 11.11',
};

export interface SwitchWorld {
  readonly world: ServerWorld;
  /** The node that has the containers. */
  readonly node: ReportingNode;
  open(wish?: Partial<SwitchWish>, as?: ApiClient): Promise<SwitchShown>;
  plan(wish?: Partial<SwitchWish>): Promise<SwitchPlanned>;
  show(id: string, waitMs?: number, as?: ApiClient): Promise<SwitchShown>;
  list(query?: string, as?: ApiClient): Promise<SwitchListed[]>;
  /** @param what  'close', 'extend' or 'approve' */
  act(id: string, what: string, body: object, as?: ApiClient): Promise<SwitchShown>;
  audit(): Promise<Record<string, unknown>[]>;
  tenantToken(tenant: string): Promise<ApiClient>;
  /** Another server over the same state; the node follows it. */
  restart(more: Partial<ServerOptions>): Promise<void>;
}

export function switchesForEachTest(): SwitchWorld {
  const world = serverForEachTest();
  let node: ReportingNode | undefined;

  const standUp = async (): Promise<void> => {
    node = new ReportingNode(world.root, 'a', () => world.now, CONTAINERS);
    await node.follow();
  };

  beforeEach(async () => {
    for (const tenant of ['blue', 'red']) await world.root.request('POST', '/v1/tenants', { tenant });
    await registerNode(world.root, 'a' as NodeName, uplink(1), { zone: 'hall-1' });
    await standUp();
  });
  afterEach(() => node?.stop());

  return {
    world,
    get node(): ReportingNode {
      return node!;
    },
    open: async (wish = {}, as = world.root) =>
      (await as.request('POST', '/v1/switches?waitMs=5000', { ...WISH, ...wish })) as SwitchShown,
    plan: async (wish = {}) =>
      (await world.root.request('POST', '/v1/switches/plan', { ...WISH, ...wish })) as SwitchPlanned,
    show: async (id, waitMs = 5_000, as = world.root) =>
      (await as.request('GET', `/v1/switches/${id}?waitMs=${waitMs}`)) as SwitchShown,
    list: async (query = '', as = world.root) =>
      ((await as.request('GET', `/v1/switches${query}`)) as { items: SwitchListed[] }).items,
    act: async (id, what, body, as = world.root) => {
      const asked = { reason: 'done', ...body };
      return (await as.request('POST', `/v1/switches/${id}/${what}?waitMs=5000`, asked)) as SwitchShown;
    },
    audit: async () =>
      ((await world.root.request('GET', '/v1/audit?limit=1000')) as { items: Record<string, unknown>[] })
        .items,
    async tenantToken(tenant): Promise<ApiClient> {
      const asked = { role: 'tenant', tenant };
      const { token } = (await world.root.request('POST', '/v1/tokens', asked)) as CreatedToken;
      return world.using(operatorClient(world.address, token));
    },
    async restart(more): Promise<void> {
      await node?.stop();
      await world.restart(more);
      await standUp();
    },
  };
}

/** The server's clock looks every half second. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it did not come about within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const refusal = (code: string, message = ''): object => ({
  code,
  message: expect.stringContaining(message),
});
