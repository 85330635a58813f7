/** Which containers, and which tenants' shares of nodes, a switch chooses. */
import { isTenantField, LIMIT_FIELDS, type LimitField, type Subject } from './limits.ts';
import type { Changes, Selector, Switch } from './switch.ts';

/** A tenant's share of a node, as selectors see it. */
export type ShareSubject = Pick<Subject, 'tenant' | 'node' | 'zone'>;

/** All keys must fit; of several words for one key, any. */
export function selects(select: Selector, subject: Subject): boolean {
  const { tenant, app, instance, node, zone } = select;
  return (
    isAmong(tenant, subject.tenant) &&
    isAmong(app, subject.app) &&
    isAmong(instance, subject.instance) &&
    isAmong(node, subject.node) &&
    isAmong(zone, subject.zone) &&
    Object.entries(select.labels ?? {}).every(([label, words]) =>
      isAmong(words, subject.labels[label] ?? null),
    )
  );
}

/** A share belongs to no app: a selector that asks for more than tenant, node and zone chooses none. */
export function selectsShare(select: Selector, share: ShareSubject): boolean {
  const { tenant, node, zone } = select;
  return (
    !isForContainers(select) &&
    isAmong(tenant, share.tenant) &&
    isAmong(node, share.node) &&
    isAmong(zone, share.zone)
  );
}

/** Whether this container is one of the switch's; when it is open is model/switch-windows.ts. */
export function chooses({ id, select, percent }: Switch, subject: Subject): boolean {
  const identity = `${subject.tenant}/${subject.node}/${subject.instance ?? subject.containerId}/${subject.ifName}`;
  return selects(select, subject) && isInPart(id, identity, percent);
}

export function choosesShare({ id, select, percent }: Switch, share: ShareSubject): boolean {
  return selectsShare(select, share) && isInPart(id, `${share.tenant}/${share.node}`, percent);
}

/** What is wrong with what a switch asks for, taken together; undefined: nothing. */
export function scopeProblem({
  select,
  changes,
}: {
  select: Selector;
  changes: Changes;
}): string | undefined {
  const shares = LIMIT_FIELDS.filter((field) => isTenantField(field) && changes[field] !== undefined);
  if (shares.length === 0 || !isForContainers(select)) return undefined;
  return `${shares.join(', ')}: a tenant's share of a node is chosen by tenant, node and zone alone, not by app, instance or labels`;
}

/** The fields that a switch changes, in the order of the table of fields. */
export function changedFields(changes: Changes): LimitField[] {
  return LIMIT_FIELDS.filter((field) => changes[field] !== undefined);
}

function isForContainers({ app, instance, labels = {} }: Selector): boolean {
  return app !== undefined || instance !== undefined || Object.keys(labels).length > 0;
}

function isAmong(words: readonly string[] | undefined, word: string | null): boolean {
  return words === undefined || (word !== null && words.includes(word));
}

/**
 * Each container has its place from 0 to 100 in each switch, and is in the part when that is below the per cent: the
 * same ones every time, and none leaves when the part grows.
 */
function isInPart(id: string, identity: string, percent: number): boolean {
  return percent >= 100 || (mixed(fnv1a(`${id} ${identity}`)) / 2 ** 32) * 100 < percent;
}

/** FNV-1a, 32 bits (RFC 9923), over the text's UTF-16 units. */
function fnv1a(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  }
  return hash >>> 0;
}

/** Names that differ in their last letter differ in few of FNV's high bits; murmur3's last step spreads them. */
function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2_ae35);
  return (twice ^ (twice >>> 16)) >>> 0;
}
