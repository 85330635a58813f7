/** What a node is told about itself: by flags first, then by the configuration file, then by the machine. */
import os from 'node:os';
import type * as z from 'zod';
import { type Config, HostPort } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';
import { Labels, ZoneName } from '../model/limits.ts';
import { IfName, NodeName } from '../model/names.ts';

/** Flags as they come from the command line. */
export interface NodeFlags {
  readonly node?: string | undefined;
  readonly zone?: string | undefined;
  /** Each KEY=VALUE. */
  readonly label?: readonly string[] | undefined;
  readonly uplink?: string | undefined;
  readonly listen?: string | undefined;
  readonly join?: string | undefined;
  readonly storage?: boolean | undefined;
}

export interface NodeOptions {
  readonly node: NodeName;
  readonly zone: string | undefined;
  readonly labels: Labels;
  readonly uplink: IfName | undefined;
  readonly listen: string | undefined;
  readonly join: string | undefined;
  /** Whether this node keeps bricks; `auto`: where it stands alone. */
  readonly bricks: Config['storage']['bricks'];
}

/**
 * @param hostName  of the machine; its first label is the name of a node that was given none
 * @throws SluiceError `invalid_request` naming the flag
 */
export function nodeOptions(flags: NodeFlags, config: Config, hostName = os.hostname()): NodeOptions {
  const options = {
    node: flag(NodeName, flags.node, '--node') ?? config.node ?? nodeOfHost(hostName),
    zone: flag(ZoneName, flags.zone, '--zone') ?? config.zone,
    labels: labelsOf(flags.label) ?? config.labels,
    uplink: flag(IfName, flags.uplink, '--uplink') ?? config.uplink,
    listen:
      flag(HostPort, flags.listen, '--listen') ?? (flags.join === undefined ? config.listen : undefined),
    join: flag(HostPort, flags.join, '--join') ?? (flags.listen === undefined ? config.join : undefined),
    bricks: bricksOf(flags, config),
  };
  if (options.listen === undefined || options.join === undefined) return options;
  throw new SluiceError(
    'invalid_request',
    'a machine either runs the server (listen) or joins one (join)',
    'give only one of them',
  );
}

function bricksOf({ storage }: NodeFlags, config: Config): Config['storage']['bricks'] {
  if (storage === undefined) return config.storage.bricks;
  return storage ? 'on' : 'off';
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

/** Those on the command line are all of them: a word can be taken away only by not saying it. */
function labelsOf(words: readonly string[] | undefined): Labels | undefined {
  if (words === undefined || words.length === 0) return undefined;
  const pairs = words.map((word) => {
    const equals = word.indexOf('=');
    return [word.slice(0, Math.max(0, equals)), word.slice(equals + 1)];
  });
  const parsed = Labels.safeParse(Object.fromEntries(pairs));
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map(({ message }) => message).join('; ');
  throw new SluiceError(
    'invalid_request',
    `--label ${words.join(' ')}: ${why}`,
    'say KEY=VALUE, such as disk=ssd',
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
