/** Lists, a page at a time: ?limit=100&after=NAME, answered with {items, next}. */
import * as z from 'zod';
import type { Store } from '../../store/contract.ts';
import { records } from './layout.ts';
import type { Reply } from './operation.ts';

export const PageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  /** The `next` of the page before. */
  after: z
    .string()
    .regex(/^[\x21-\x7e]{1,400}$/)
    .optional(),
});
type PageQuery = z.infer<typeof PageQuery>;

export function pageOf<T extends z.ZodType>(item: T): z.ZodObject {
  return z.strictObject({ items: z.array(item), next: z.string().nullable() });
}

/** @param prefix  ends with '/'; the names are what follows it */
export async function listPage<T>(
  store: Store,
  prefix: string,
  { limit, after }: PageQuery,
  schema: z.ZodType<T>,
): Promise<Reply & { json: { items: T[]; next: string | null } }> {
  const page = await store.list(prefix, { limit, ...(after !== undefined && { after: prefix + after }) });
  const last = page.entries.at(-1)?.key.slice(prefix.length);
  return {
    json: { items: records(page, prefix, schema), next: page.more && last !== undefined ? last : null },
  };
}
