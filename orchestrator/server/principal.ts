/** Who is asking. */
import type { TokenId } from '../../model/join.ts';
import type { NodeName, TenantName } from '../../model/names.ts';

export type Principal =
  /** Came through the private socket: only this machine's root can. */
  | { readonly role: 'root' }
  | { readonly role: 'node'; readonly id: TokenId; readonly node: NodeName }
  | { readonly role: 'tenant'; readonly id: TokenId; readonly tenant: TenantName }
  | { readonly role: 'join' | 'operator' | 'admin'; readonly id: TokenId };

export type Role = Principal['role'];

/** Who changes something: the server itself does what its clock says. */
export type Actor = Principal | { readonly role: 'server' };

/** As the audit log names them. */
export function nameOf(who: Actor): string {
  if (who.role === 'root' || who.role === 'server') return who.role;
  if (who.role === 'node') return `node ${who.node}`;
  return who.role === 'tenant' ? `tenant ${who.tenant} ${who.id}` : `${who.role} ${who.id}`;
}
