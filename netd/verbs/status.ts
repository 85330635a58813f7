/** STATUS: whether an ADD would find what it needs. */
import { findLink } from '../../linux/links.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import { type Netd, requireReady } from '../context.ts';

/** @throws SluiceError `not_ready` (50), or `limited` (51) when running containers suffer as well. */
export async function status(netd: Netd): Promise<void> {
  const { attach } = ready(netd);
  const uplink = await findLink(netd.kernel.route, attach.facts.uplink);
  if (uplink?.up !== true) {
    throw new SluiceError(
      'limited',
      `the uplink ${attach.facts.uplink} is ${uplink === undefined ? 'missing' : 'down'}`,
      `bring it up: ip link set ${attach.facts.uplink} up`,
    );
  }
  for (const bridge of Object.values(attach.facts.bridges)) {
    const link = await findLink(netd.kernel.route, bridge.name);
    if (link?.up !== true)
      throw new SluiceError(
        'limited',
        `the ${bridge.side} bridge ${bridge.name} is missing or down`,
        'restart netd to have the node repaired',
      );
  }
}

function ready(netd: Netd): ReturnType<typeof requireReady> {
  try {
    return requireReady(netd);
  } catch (error) {
    const { message, hint } = asSluiceError(error);
    throw new SluiceError('not_ready', message, hint, { cause: error });
  }
}
