/** GET /v1/usage: what this node's containers have sent and received, complete to the moment. */
import * as z from 'zod';
import type { Route } from '../../linux/local-routes.ts';
import { SluiceError } from '../../model/errors.ts';
import { TenantTag } from '../../model/names.ts';
import { type COUNTERS, USAGE_GROUPS, type UsageQuestion, type UsageRow } from '../../model/usage.ts';
import type { Collector } from './collector.ts';

/** An endpoint's row takes about 300 bytes. */
const MOST_ROWS = 100_000;

const moment = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], 'must be a time such as 2030-01-31T12:00:00Z')
  .transform((text) => Date.parse(text));

const Question = z.strictObject({
  by: z.enum(USAGE_GROUPS).default('tenant'),
  from: moment.default(0),
  to: moment.optional(),
  tenant: z.coerce.number().pipe(TenantTag).optional(),
  limit: z.coerce.number().int().min(1).max(MOST_ROWS).default(10_000),
});

/** A row as it is told: times as ISO 8601, counters as decimal strings, because they may exceed what JSON readers hold. */
export interface ToldUsage extends Record<(typeof COUNTERS)[number], string> {
  readonly tag: number;
  readonly side: string;
  readonly container?: string;
  readonly ifName?: string;
  readonly hour?: string;
}

export interface UsageAnswer {
  readonly by: UsageQuestion['by'];
  readonly from: string;
  readonly to: string;
  /** Whether there are more rows than were allowed. */
  readonly more: boolean;
  readonly rows: readonly ToldUsage[];
}

export function usageRoutes(collector: Collector, now: () => number): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/usage',
      handle: ({ query }) => {
        const question = parse(query, now());
        collector.collect();
        return { json: answer(collector, question) };
      },
    },
  ];
}

function parse(query: URLSearchParams, now: number): UsageQuestion {
  const { data, error } = Question.safeParse(Object.fromEntries(query));
  if (error !== undefined) {
    const [issue] = error.issues;
    throw new SluiceError(
      'invalid_request',
      [...(issue?.path ?? []), issue?.message].join(': '),
      `it takes ${Object.keys(Question.shape).join(', ')}`,
    );
  }
  // What is counted in this very moment belongs to the answer.
  return { by: data.by, from: data.from, to: data.to ?? now + 1, tag: data.tenant, limit: data.limit };
}

function answer(collector: Collector, question: UsageQuestion): UsageAnswer {
  const { rows, more } = collector.sum(question);
  const time = (ms: number): string => new Date(ms).toISOString();
  return { by: question.by, from: time(question.from), to: time(question.to), more, rows: rows.map(told) };
}

function told(row: UsageRow): ToldUsage {
  const { hour, sentBytes, sentPackets, receivedBytes, receivedPackets, ...whose } = row;
  return {
    ...whose,
    ...(hour !== undefined && { hour: new Date(hour).toISOString() }),
    sentBytes: String(sentBytes),
    sentPackets: String(sentPackets),
    receivedBytes: String(receivedBytes),
    receivedPackets: String(receivedPackets),
  };
}
