/** How the server is. */
import * as z from 'zod';
import { Fingerprint } from '../../model/join.ts';
import { PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';

const Status = z.strictObject({
  role: z.literal('server'),
  version: z.string(),
  ready: z.boolean(),
  /** Of the store: what a watch may start from. */
  revision: z.int(),
  fingerprint: Fingerprint,
  tenants: z.int(),
  nodes: z.int(),
});

const show = operation({
  id: 'status.show',
  method: 'GET',
  path: '/v1/status',
  summary: 'Says whether the server is ready, and what it looks after.',
  answer: Status,
  handle: async ({ store, version, fingerprint }) => {
    const { entries, revision } = await store.list(PATHS.view);
    const count = (prefix: string): number => entries.filter(({ key }) => key.startsWith(prefix)).length;
    const status: z.infer<typeof Status> = {
      role: 'server',
      version,
      ready: entries.some(({ key }) => key === PATHS.settings),
      revision,
      fingerprint,
      tenants: count(PATHS.tenants),
      nodes: count(PATHS.nodes),
    };
    return { json: status };
  },
});

export const statusOperations: readonly Operation[] = [show];
