/** How a node's daemons reach their server: through its socket on its own machine, else with what joining has given. */
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { readCredential } from '../../linux/credential.ts';
import { nodeClient } from '../../linux/join.ts';
import { SluiceError } from '../../model/errors.ts';
import { socketOf } from '../places.ts';
import type { Role } from './role.ts';

/** @throws SluiceError `not_ready` when this machine is to join and has not done so yet */
export function clientOfServer({ places, join }: Pick<Role, 'places' | 'join'>): ApiClient {
  const credential = readCredential(places.stateDir);
  if (credential !== undefined) return nodeClient(credential);
  if (join === undefined) return localClient(socketOf(places, 'server'));
  throw new SluiceError(
    'not_ready',
    `this machine has not joined the cluster at ${join} yet`,
    `sluice node join ${join} --token … (on the server: sluice token create --role node)`,
  );
}
