/** From an Authorization header to who is asking. */
import { SluiceError } from '../../model/errors.ts';
import { Secret, TokenId } from '../../model/join.ts';
import type { Store } from '../../store/contract.ts';
import { PATHS, read, StoredToken } from './layout.ts';
import type { Principal } from './principal.ts';
import { matches } from './secrets.ts';

/**
 * Expired tokens are not found at all: the store's lease has taken them away (tokens.ts).
 *
 * @param header  'Bearer ID.SECRET'
 * @throws SluiceError `unauthenticated`, with the same words whatever was wrong
 */
export async function authenticate(store: Store, header: string | undefined): Promise<Principal> {
  const [id, secret] = (/^Bearer (\S+)$/.exec(header ?? '')?.[1] ?? '').split('.');
  const presented = { id: TokenId.safeParse(id), secret: Secret.safeParse(secret) };
  if (!presented.id.success || !presented.secret.success) throw unknown();
  const token = await read(store, PATHS.tokens + presented.id.data, StoredToken);
  if (token === undefined || !matches(presented.secret.data, token.hash)) throw unknown();
  return principalOf(token);
}

function principalOf({ id, role, node, tenant }: StoredToken): Principal {
  if (role === 'tenant') {
    if (tenant === null) throw unknown();
    return { role, id, tenant };
  }
  if (role !== 'node') return { role, id };
  if (node === null) throw unknown();
  return { role, id, node };
}

function unknown(): SluiceError {
  const hint = 'present a token that is neither expired nor revoked: sluice token create';
  return new SluiceError('unauthenticated', 'no valid token was presented', hint);
}
