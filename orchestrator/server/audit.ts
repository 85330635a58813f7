/** The audit log: every change, who made it and when, and where it was said: why, and what was before and after. */
import type { Store } from '../../store/contract.ts';
import { AuditDetail, AuditEntry, numberKey, PATHS, records } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';

const Shown = AuditEntry.extend(AuditDetail.partial().shape);

const list = operation({
  id: 'audit.list',
  method: 'GET',
  path: '/v1/audit',
  summary: 'Lists changes, oldest first.',
  query: PageQuery,
  answer: pageOf(Shown),
  handle: async ({ store }, { query }) => {
    const { json } = await listPage(store, PATHS.audit, query, AuditEntry);
    const details = await detailsOf(store, json.items);
    return {
      json: { ...json, items: json.items.map((entry) => ({ ...entry, ...details.get(entry.number) })) },
    };
  },
});

export const auditOperations: readonly Operation[] = [list];

/** There is at most one for each entry, so that as many as there are entries cover all of them. */
async function detailsOf(store: Store, entries: readonly AuditEntry[]): Promise<Map<number, AuditDetail>> {
  const [first] = entries;
  if (first === undefined) return new Map();
  const after = numberKey(PATHS.details, first.number - 1);
  const page = await store.list(PATHS.details, { after, limit: entries.length });
  const details = records(page, PATHS.details, AuditDetail);
  return new Map(
    page.entries.map(({ key }, i) => [Number(key.slice(PATHS.details.length)), details[i] as AuditDetail]),
  );
}
