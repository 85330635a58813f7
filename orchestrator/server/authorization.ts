/** Who may do what: the one table. What does not stand here cannot be done. */
import { SluiceError } from '../../model/errors.ts';
import type { Principal, Role } from './principal.ts';

const root = 'root';
const everyone = [root, 'admin', 'operator', 'node', 'join'] as const;
const members = [root, 'admin', 'operator', 'node'] as const;
const operators = [root, 'admin', 'operator'] as const;
const admins = [root, 'admin'] as const;
/** A tenant comes in for what is its own, and for nothing else. */
const tenant = ['tenant'] as const;

const ALLOWED = {
  'status.show': members,
  'metrics.show': members,
  'openapi.show': everyone,
  'cluster.follow': members,
  'cluster.set': operators,
  // An operator runs tenants, not the fence: keys stay with those who make and check tags.
  'keys.follow': [root, 'node'],
  // Without the keys themselves.
  'key.show': members,
  'key.rotate': admins,
  // A node only for itself (keys.ts).
  'key.acknowledge': [root, 'node'],
  'tenant.create': operators,
  'tenant.list': members,
  // A tenant only itself (tenants.ts).
  'tenant.show': [...members, ...tenant],
  'tenant.delete': operators,
  'namespace.set': operators,
  'namespace.list': members,
  'namespace.delete': operators,
  'guard.apply': operators,
  'guard.list': members,
  'guard.show': members,
  'guard.delete': operators,
  'plan.set': operators,
  'plan.list': members,
  // A tenant only its own (plans.ts).
  'plan.show': [...members, ...tenant],
  'plan.delete': operators,
  'limits.showDefault': members,
  'limits.setDefault': operators,
  // A tenant only its own (limits.ts).
  'limits.list': [...members, ...tenant],
  // A node only its own (limits.ts).
  'limits.report': [root, 'node'],
  'switch.plan': operators,
  'switch.open': operators,
  // A tenant only those that concern it (switches.ts).
  'switch.list': [...members, ...tenant],
  'switch.show': [...members, ...tenant],
  'switch.close': operators,
  'switch.closeAll': operators,
  'switch.extend': operators,
  // Never whoever opened it (switch-ends.ts).
  'switch.approve': operators,
  // A tenant only its own (volumes.ts, volume-changes.ts).
  'volume.create': [...operators, ...tenant],
  // A storage node reads there what others have told of a volume's bricks.
  'volume.list': [...members, ...tenant],
  'volume.show': [...members, ...tenant],
  'volume.resize': [...operators, ...tenant],
  'volume.limit': [...operators, ...tenant],
  'volume.delete': [...operators, ...tenant],
  'volume.undelete': [...operators, ...tenant],
  // On which node a brick is, is nothing of a tenant's.
  'volume.move': operators,
  // A node only for itself (volume-hosts.ts), and only its own (storage-reports.ts).
  'volume.hosts': [root, 'node'],
  'storage.report': [root, 'node'],
  'node.join': ['join'],
  // A node only itself (nodes.ts).
  'node.register': [root, 'node'],
  'node.list': members,
  'node.show': members,
  'node.delete': admins,
  'node.fence': admins,
  'node.unfence': admins,
  'token.create': admins,
  'token.list': admins,
  'token.revoke': admins,
  'probe.create': members,
  'probe.show': members,
  // A node only its own (probes.ts).
  'probe.report': [root, 'node'],
  'probe.delete': members,
  // A tenant only its own (drops.ts).
  'drops.list': [...operators, ...tenant],
  // A node only its own (drops.ts).
  'drops.report': [root, 'node'],
  'audit.list': operators,
} as const satisfies Record<string, readonly Role[]>;

export type OperationId = keyof typeof ALLOWED;

export const OPERATION_IDS = Object.keys(ALLOWED) as OperationId[];

/** @throws SluiceError `refused` */
export function authorize(who: Principal, operation: OperationId): void {
  const roles: readonly Role[] = ALLOWED[operation];
  if (roles.includes(who.role)) return;
  const hint = `it takes one of: ${roles.join(', ')}`;
  throw new SluiceError('refused', `the role ${who.role} may not do ${operation}`, hint);
}
