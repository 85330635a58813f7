/** The accounts of ports without eBPF: two named counters for each, in the bridge table of port-rules.ts, and how they are called. */
import * as z from 'zod';
import { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import type { AccountId, AccountOwner } from '../../model/usage.ts';
import type { AccountName, PortIdentity } from '../port-binding.ts';

/** Maps from a port's interface to its counter: what its container sends, and what it receives. */
export const ACCOUNT_MAPS = { sent: 'sent', received: 'received' } as const;
export type Direction = keyof typeof ACCOUNT_MAPS;
const DIRECTIONS = Object.keys(ACCOUNT_MAPS) as readonly Direction[];

/** The kernel keeps at most 128 bytes beside a counter (libnftnl/udata.h); a container's id alone may have as many. */
const COMMENT_BYTES = 120;

export function accountCounter(direction: Direction, account: AccountId): string {
  return `${direction}_${account}`;
}

/** @returns undefined for a counter that is no account's */
export function accountOfCounter(
  name: string,
): { readonly direction: Direction; readonly account: AccountId } | undefined {
  const [, direction, account] = /^(sent|received)_(\d{1,20})$/.exec(name) ?? [];
  if (direction === undefined || account === undefined) return undefined;
  return { direction: direction as Direction, account: BigInt(account) as AccountId };
}

/** Makes the account and leads the port's packets to it. Figures that are there already are kept. */
export function openAccountScript(table: string, port: PortIdentity, name: AccountName): string[] {
  const { account, ifindex } = port;
  const owner = [port.tag, port.side, name.ifName, name.container].join(' ');
  const comments = { sent: owner.slice(0, COMMENT_BYTES), received: owner.slice(COMMENT_BYTES) };
  return DIRECTIONS.flatMap((direction) => {
    const counter = accountCounter(direction, account);
    const comment = comments[direction] === '' ? '' : ` comment "${comments[direction]}";`;
    return [
      `add counter bridge ${table} ${counter} {${comment} }`,
      `add element bridge ${table} ${ACCOUNT_MAPS[direction]} { ${ifindex} : "${counter}" }`,
    ];
  });
}

/** Leads the port's packets to it no more. Its figures stay until they have been collected. */
export function leaveAccountScript(table: string, ifindex: number): string[] {
  return DIRECTIONS.map(
    (direction) => `delete element bridge ${table} ${ACCOUNT_MAPS[direction]} { ${ifindex} }`,
  );
}

/** One that is gone is no error: it is made first. */
export function removeAccountScript(table: string, account: AccountId): string {
  return DIRECTIONS.map((direction) => {
    const counter = `counter bridge ${table} ${accountCounter(direction, account)}`;
    return `add ${counter}\ndelete ${counter}\n`;
  }).join('');
}

/** @param comments  of the two counters, as `openAccountScript` wrote them */
export function ownerOf(comments: Readonly<Record<Direction, string>>): AccountOwner | undefined {
  const [tag, side, ifName, container] = `${comments.sent}${comments.received}`.split(' ');
  return OwnerWords.safeParse({ tag: Number(tag), side, ifName, container }).data;
}

const OwnerWords = z.strictObject({
  tag: TenantTag,
  side: z.enum(['external', 'internal']),
  ifName: IfName,
  container: ContainerId,
});
