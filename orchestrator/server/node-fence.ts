/** Shutting a node out, and letting it in again: its authority ends with the keys that it knows. */
import * as z from 'zod';
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { NodeName } from '../../model/names.ts';
import type { Store } from '../../store/contract.ts';
import { readRotation } from './key-state.ts';
import { mustRead, PATHS, read } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import type { Rotation } from './rotation-plan.ts';
import { beginning } from './rotator.ts';

const Named = z.strictObject({ node: NodeName });

/** One line for the audit log. */
const Reason = z.string().regex(/^[^\p{C}]{1,200}$/u, 'must be one line of at most 200 characters');

const fence = operation({
  id: 'node.fence',
  method: 'PUT',
  path: '/v1/nodes/:node/fence',
  summary: 'Withdraws a node: it gets no keys, others stop sending to it, and all keys it knows end at once.',
  params: Named,
  body: z.strictObject({ reason: Reason.optional() }),
  answer: ClusterNode,
  handle: async ({ store, mutate, now, rotator }, { who, params: { node: name }, body: { reason } }) => {
    const subject = `node ${name}${reason === undefined ? '' : `: ${reason}`}`;
    const node = await mutate({ who, operation: 'node.fence', subject }, async () => {
      const known = await mustRead(store, PATHS.nodes + name, ClusterNode, `node ${name}`);
      const result: ClusterNode = { ...known, fenced: true };
      // Also when it is fenced already: whoever says so again may know of another reason.
      const { compare, put } = beginning(await readRotation(store), true, now(), result);
      return { compare, put: [...put, { key: PATHS.nodes + name, value: result }], result };
    });
    rotator.begun();
    return { json: node };
  },
});

const unfence = operation({
  id: 'node.unfence',
  method: 'DELETE',
  path: '/v1/nodes/:node/fence',
  summary: 'Lets a fenced node in again: it gets the present keys.',
  params: Named,
  answer: ClusterNode,
  handle: async ({ store, mutate, rotator }, { who, params: { node: name } }) => {
    const node = await mutate({ who, operation: 'node.unfence', subject: `node ${name}` }, async () => {
      const known = await mustRead(store, PATHS.nodes + name, ClusterNode, `node ${name}`);
      if (!known.fenced) return { result: known };
      const result: ClusterNode = { ...known, fenced: false };
      // It may still send with a key that has ended, so it counts as late until it has said otherwise.
      const { rotation, revision } = await readRotation(store);
      const late: Rotation = { ...rotation, late: [...rotation.late.filter((one) => one !== name), name] };
      return {
        compare: [{ key: PATHS.rotation, revision }],
        put: [
          { key: PATHS.nodes + name, value: result },
          { key: PATHS.rotation, value: late },
        ],
        result,
      };
    });
    rotator.wake();
    return { json: node };
  },
});

export const fenceOperations: readonly Operation[] = [fence, unfence];

/** A fenced node may look, so that it learns of it, and nothing else. @throws SluiceError `refused` */
export async function refuseFenced(store: Store, name: NodeName): Promise<void> {
  if ((await read(store, PATHS.nodes + name, ClusterNode))?.fenced !== true) return;
  throw new SluiceError(
    'refused',
    `node ${name} was shut out of the cluster`,
    `if it is to be trusted again: sluice node unfence ${name}`,
  );
}
