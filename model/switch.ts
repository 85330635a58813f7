/** An isolation switch: limits of chosen containers are changed for a time, and come back by themselves (docs/switches.md). */
import * as z from 'zod';
import { cronProblem, zoneProblem } from './cron.ts';
import { LimitField, type LimitValue } from './limits.ts';
import { limitProblem } from './quantity.ts';

export const SwitchId = z
  .string()
  .regex(/^sw-[a-z0-9]{8}$/, 'must be the id of a switch such as sw-3k9x0a2b')
  .brand<'SwitchId'>();
export type SwitchId = z.infer<typeof SwitchId>;

const Word = z.string().regex(/^[a-zA-Z0-9][-a-zA-Z0-9_.]{0,127}$/, 'must be a name');
const Words = z.array(Word).min(1).max(256);

/** All keys must fit; of several words for one key, any. Without a key it fits every container. */
export const Selector = z.strictObject({
  tenant: Words.optional(),
  app: Words.optional(),
  instance: Words.optional(),
  node: Words.optional(),
  zone: Words.optional(),
  labels: z.record(Word, Words).optional(),
});
export type Selector = z.infer<typeof Selector>;

/** A number in the field's unit, a list of CPUs, or null: unlimited. */
const Value: z.ZodType<LimitValue> = z.union([z.number().finite().min(0), z.string().max(256), z.null()]);

/** What is done to one field. */
export const Change = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('set'), value: Value }),
  /** Of what would hold without this switch; unlimited stays so. */
  z.strictObject({ do: z.literal('scale'), factor: z.number().positive().max(1_000) }),
  /** Without limit. */
  z.strictObject({ do: z.literal('lift') }),
]);
export type Change = z.infer<typeof Change>;

export const Changes = z
  .partialRecord(LimitField, Change)
  .refine((changes) => Object.keys(changes).length > 0, 'must change something')
  .superRefine((changes, context) => {
    for (const [field, change] of Object.entries(changes)) {
      const message = changeProblem(field as LimitField, change);
      if (message !== undefined) context.addIssue({ code: 'custom', path: [field], message });
    }
  });
export type Changes = z.infer<typeof Changes>;

function changeProblem(field: LimitField, change: Change): string | undefined {
  if (change.do === 'set') return limitProblem(field, change.value);
  return change.do === 'scale' && field === 'cpu.set' ? 'a list of CPUs cannot be scaled' : undefined;
}

const UnixMs = z.int().min(0);

const checked = (problemOf: (text: string) => string | undefined, longest: number): z.ZodString =>
  z
    .string()
    .max(longest)
    .superRefine((text, context) => {
      const message = problemOf(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    });

/** A window that opens again and again, inside `from` and `until`. */
export const Repetition = z.strictObject({
  /** Five fields as in crontab(5), in `zone`. */
  cron: checked(cronProblem, 128),
  /** How long each window stays open. */
  forMs: z.int().min(1_000),
  /** An IANA time zone. */
  zone: checked(zoneProblem, 64).default('UTC'),
});
export type Repetition = z.infer<typeof Repetition>;

export const Switch = z.strictObject({
  id: SwitchId,
  /** What people call it; a preset's name where it was opened from one. */
  name: z.string().max(63),
  select: Selector,
  changes: Changes,
  /** Part of the chosen containers, in per cent: always the same ones, and more when it grows. */
  percent: z.number().min(1).max(100),
  /** Higher ones have the last word. */
  priority: z.int().min(-1_000).max(1_000),
  from: UnixMs,
  until: UnixMs,
  repeat: Repetition.nullable(),
  reason: z.string().min(1).max(1_000),
  /** Whether memory may be taken below what is in use, at the price of kills. */
  mayKill: z.boolean().default(false),
  /** It takes from others to make room for this switch. */
  squeezeFor: SwitchId.nullable().default(null),
  openedBy: z.string(),
  openedAt: UnixMs,
  /** null: no second person was needed. */
  approval: z.strictObject({ by: z.string().nullable(), at: UnixMs.nullable() }).nullable().default(null),
  /** null: as long as its time has not come. */
  closed: z.strictObject({ by: z.string(), at: UnixMs, reason: z.string() }).nullable().default(null),
});
export type Switch = z.infer<typeof Switch>;
