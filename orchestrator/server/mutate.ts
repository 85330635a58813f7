/** How the server changes anything: one after the other, decided on a state that still holds, with a line in the audit log. */
import { SluiceError } from '../../model/errors.ts';
import type { Compare, Put, Store } from '../../store/contract.ts';
import type { OperationId } from './authorization.ts';
import {
  AUDIT_KEPT,
  type AuditDetail,
  type AuditEntry,
  Counter,
  DETAILS_KEPT,
  numberKey,
  PATHS,
} from './layout.ts';
import { type Actor, nameOf } from './principal.ts';

/** What a change writes, and what its caller is told. */
export interface Change<T> {
  /** What the plan depends on besides all that is changed in this way. */
  readonly compare?: readonly Compare[];
  readonly put?: readonly Put[];
  readonly delete?: readonly string[];
  /** For the audit log, where the subject alone does not tell. */
  readonly detail?: AuditDetail;
  readonly result: T;
}

export interface Deed {
  readonly who: Actor;
  readonly operation: OperationId;
  /** What it is done to, such as 'tenant blue'. */
  readonly subject: string;
  /** Why, in the words of whoever does it. */
  readonly reason?: string;
}

/** Plans from the store as it is. Called again when somebody else was faster, so it must only read. */
export type Plan<T> = () => Promise<Change<T>>;

export type Mutate = <T>(deed: Deed, plan: Plan<T>) => Promise<T>;

/** Only other servers on the same store can be faster; so often in a row they will not be. */
const ATTEMPTS = 20;

/**
 * Every change compares and advances one counter, so that no two are decided on the same state: two nodes can
 * never get one block, nor a namespace a tenant that is being deleted.
 */
export function mutator(store: Store, now: () => number): Mutate {
  let last: Promise<unknown> = Promise.resolve();
  return (deed, plan) => {
    const mine = last.then(() => attempt(store, now, deed, plan));
    last = mine.catch(() => {});
    return mine;
  };
}

async function attempt<T>(store: Store, now: () => number, deed: Deed, plan: Plan<T>): Promise<T> {
  for (let i = 0; i < ATTEMPTS; i++) {
    const counter = await store.get(PATHS.lastAudit);
    const number = (counter === undefined ? 0 : Counter.parse(counter.value).last) + 1;
    const { compare = [], put = [], delete: deleted = [], detail, result } = await plan();
    const entry: AuditEntry = {
      number,
      at: now(),
      who: nameOf(deed.who),
      operation: deed.operation,
      subject: deed.subject,
      ...(deed.reason !== undefined && { reason: deed.reason }),
    };
    const done = await store.txn({
      compare: [{ key: PATHS.lastAudit, revision: counter?.revision ?? 0 }, ...compare],
      put: [
        ...put,
        { key: PATHS.lastAudit, value: { last: number } },
        { key: numberKey(PATHS.audit, number), value: entry },
        ...(detail === undefined ? [] : [{ key: numberKey(PATHS.details, number), value: detail }]),
      ],
      delete: [
        ...deleted,
        ...(number > AUDIT_KEPT ? [numberKey(PATHS.audit, number - AUDIT_KEPT)] : []),
        ...(number > DETAILS_KEPT ? [numberKey(PATHS.details, number - DETAILS_KEPT)] : []),
      ],
    });
    if (done.ok) return result;
  }
  throw new SluiceError('conflict', 'other servers kept changing the cluster', 'try again');
}
