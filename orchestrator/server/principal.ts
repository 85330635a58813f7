/** Who is asking. */
import type { TokenId } from '../../model/join.ts';
import type { NodeName } from '../../model/names.ts';

export type Principal =
  /** Came through the private socket: only this machine's root can. */
  | { readonly role: 'root' }
  | { readonly role: 'node'; readonly id: TokenId; readonly node: NodeName }
  | { readonly role: 'join' | 'operator' | 'admin'; readonly id: TokenId };

export type Role = Principal['role'];

/** As the audit log names them. */
export function nameOf(who: Principal): string {
  if (who.role === 'root') return 'root';
  return who.role === 'node' ? `node ${who.node}` : `${who.role} ${who.id}`;
}
