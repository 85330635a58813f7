/** The way into a container's network namespace: by the relay's handle, by the path, or not at all any more. */
import type { RelayedCall } from '../cni/relay.ts';
import type { AttachRequest } from '../cni/request.ts';
import { type Netns, openNetns, ownNetnsInode } from '../linux/netns.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';

/**
 * The relay's own handle leads to the namespace also where the path is a mount that only the
 * runtime sees; the path serves a runtime in another pid namespace.
 *
 * @throws SluiceError `netns_unusable`; `invalid_environment` for the node's own namespace
 */
export function openContainerNetns(request: AttachRequest, { netns: handle }: RelayedCall): Netns {
  const netns = (handle && openQuietly(`/proc/${handle.pid}/fd/${handle.fd}`)) ?? openNetns(request.netns);
  if (netns.inode !== ownNetnsInode || request.netnsOverride) return netns;
  netns[Symbol.dispose]();
  throw new SluiceError(
    'invalid_environment',
    'CNI_NETNS is the network namespace of the node itself',
    'give the container a network namespace of its own',
  );
}

/**
 * The namespace an endpoint was made in, when it still exists and this process can see its path;
 * the path alone proves nothing, it may lead to another container's namespace by now.
 */
export function openRecordedNetns(endpoint: Endpoint): Netns | undefined {
  const netns = openQuietly(endpoint.netns);
  if (netns === undefined || netns.inode === endpoint.netnsInode) return netns;
  netns[Symbol.dispose]();
  return undefined;
}

function openQuietly(path: string): Netns | undefined {
  try {
    return openNetns(path);
  } catch {
    return undefined;
  }
}
