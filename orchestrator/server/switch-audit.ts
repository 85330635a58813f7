/** What the audit log says of a switch: of each container each field, before and after. */
import type { LimitValue, Subject } from '../../model/limits.ts';
import type { Switch } from '../../model/switch.ts';
import type { PlannedField } from '../../model/switch-request.ts';
import type { AuditDetail } from './layout.ts';
import { forecast, forecastShares, openAt } from './switch-forecast.ts';
import type { SwitchForecast, SwitchWorld } from './switch-planning.ts';

/** A switch of thousands would fill the log; what it says of each stands in the nodes' reports. */
const MOST_NAMED = 100;

type Values = Readonly<Record<string, Readonly<Record<string, LimitValue>>>>;

interface Said {
  readonly name: string;
  readonly fields: readonly PlannedField[];
}

/** Of one that begins to be, at its first opening. */
export function detailOfOpening({ switch: one, squeezes, containers, shares }: SwitchForecast): AuditDetail {
  const said = [
    ...containers.map(({ subject, fields }) => ({ name: nameOf(subject), fields })),
    ...shares.map(({ node, tenant, fields }) => ({ name: `${node}/${tenant}`, fields })),
  ];
  return detailOf(null, { switch: one, squeezes: squeezes.map(({ id }) => id) }, said);
}

/** Of those that cease to be. @param at  when they were still open, Unix ms */
export function detailOfEnding(ended: readonly Switch[], world: SwitchWorld, at: number): AuditDetail {
  const { nodes, zones, switches, now } = world;
  const others = switches.filter(({ id }) => !ended.some((one) => one.id === id));
  const before = openAt([...others, ...ended], at);
  const after = openAt(others, now);
  const said = openAt(ended, at).flatMap((one): Said[] => {
    const were = forecast(one, nodes, before);
    const are = forecast(one, nodes, after);
    const had = forecastShares(one, nodes, before, zones);
    const have = forecastShares(one, nodes, after, zones);
    return [
      ...were.map(({ container, fields }, i) => ({
        name: nameOf(container.subject),
        fields: between(fields, are[i]?.fields),
      })),
      ...had.map(({ share, node, fields }, i) => ({
        name: `${node.node}/${share.tenant}`,
        fields: between(fields, have[i]?.fields),
      })),
    ];
  });
  return detailOf({ switches: ended }, null, said);
}

/** What became of the first is what was before the second. */
function between(first: readonly PlannedField[], second: readonly PlannedField[] = []): PlannedField[] {
  return first.map((field, i) => ({ ...field, now: field.becomes, becomes: second[i]?.becomes ?? null }));
}

function detailOf(before: object | null, after: object | null, said: readonly Said[]): AuditDetail {
  const named = said.slice(0, MOST_NAMED);
  const unnamed = said.length - named.length;
  const values = (of: (field: PlannedField) => LimitValue): Values => {
    const all: Record<string, Record<string, LimitValue>> = {};
    for (const { name, fields } of named)
      all[name] = { ...all[name], ...Object.fromEntries(fields.map((field) => [field.field, of(field)])) };
    return all;
  };
  const more = unnamed > 0 ? { unnamed } : {};
  return {
    before: { ...before, limits: values(({ now }) => now), ...more },
    after: { ...after, limits: values(({ becomes }) => becomes), ...more },
  };
}

function nameOf({ node, tenant, instance, containerId, ifName }: Subject): string {
  return `${node}/${tenant}/${instance ?? containerId}/${ifName}`;
}
