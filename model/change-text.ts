/** What a switch does to a field, in few words. */
import type { LimitField } from './limits.ts';
import { printLimit } from './quantity.ts';
import type { Change, Changes } from './switch.ts';
import { changedFields } from './switch-scope.ts';

/** Such as 'cpu lifted', 'memory = 2GiB', 'cpu × 2'. */
export function changeText(field: LimitField, change: Change): string {
  switch (change.do) {
    case 'lift':
      return `${field} lifted`;
    case 'set':
      return `${field} = ${printLimit(field, change.value)}`;
    case 'scale':
      return `${field} × ${change.factor}`;
  }
}

export function changesText(changes: Changes): string {
  return changedFields(changes)
    .flatMap((field) => {
      const change = changes[field];
      return change === undefined ? [] : [changeText(field, change)];
    })
    .join(', ');
}
