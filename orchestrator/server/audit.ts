/** The audit log: every change, who made it and when. Lines are written by mutate.ts. */
import { AuditEntry, PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';

const list = operation({
  id: 'audit.list',
  method: 'GET',
  path: '/v1/audit',
  summary: 'Lists changes, oldest first.',
  query: PageQuery,
  answer: pageOf(AuditEntry),
  handle: ({ store }, { query }) => listPage(store, PATHS.audit, query, AuditEntry),
});

export const auditOperations: readonly Operation[] = [list];
