/** What a node is told about itself: by flags first, then by the configuration file, then by the machine. */
import os from 'node:os';
import type * as z from 'zod';
import { type Config, HostPort } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';
import { IfName, NodeName } from '../model/names.ts';

/** Flags as they come from the command line. */
export interface NodeFlags {
  readonly node?: string | undefined;
  readonly uplink?: string | undefined;
  readonly listen?: string | undefined;
  readonly join?: string | undefined;
}

export interface NodeOptions {
  readonly node: NodeName;
  readonly uplink: IfName | undefined;
  readonly listen: string | undefined;
  readonly join: string | undefined;
}

/**
 * @param hostName  of the machine; its first label is the name of a node that was given none
 * @throws SluiceError `invalid_request` naming the flag
 */
export function nodeOptions(flags: NodeFlags, config: Config, hostName = os.hostname()): NodeOptions {
  const options = {
    node: flag(NodeName, flags.node, '--node') ?? config.node ?? nodeOfHost(hostName),
    uplink: flag(IfName, flags.uplink, '--uplink') ?? config.uplink,
    listen:
      flag(HostPort, flags.listen, '--listen') ?? (flags.join === undefined ? config.listen : undefined),
    join: flag(HostPort, flags.join, '--join') ?? (flags.listen === undefined ? config.join : undefined),
  };
  if (options.listen === undefined || options.join === undefined) return options;
  throw new SluiceError(
    'invalid_request',
    'a machine either runs the server (listen) or joins one (join)',
    'give only one of them',
  );
}

/** @throws SluiceError `invalid_request` when no uplink was named */
export function requireUplink({ uplink }: Pick<NodeOptions, 'uplink'>): IfName {
  if (uplink !== undefined) return uplink;
  throw new SluiceError(
    'invalid_request',
    'it is not said which interface leads to the other nodes and the internet',
    'name it: --uplink eth0, or `uplink` in the configuration; see `ip route show default`',
  );
}

function flag<T extends z.ZodType>(
  schema: T,
  value: string | undefined,
  name: string,
): z.infer<T> | undefined {
  if (value === undefined) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map(({ message }) => message).join('; ');
  throw new SluiceError('invalid_request', `${name} ${JSON.stringify(value)}: ${why}`, 'correct it');
}

function nodeOfHost(hostName: string): NodeName {
  const parsed = NodeName.safeParse((hostName.split('.')[0] ?? '').toLowerCase());
  if (parsed.success) return parsed.data;
  throw new SluiceError(
    'invalid_request',
    `the host name ${JSON.stringify(hostName)} does not make a node name`,
    'name the node: --node a, or `node` in the configuration',
  );
}
