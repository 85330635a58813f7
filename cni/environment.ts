/** The CNI_* environment of a call: which variables a command needs, and what they may hold. */
import * as z from 'zod';
import { SluiceError } from '../model/errors.ts';
import { ContainerId, IfName } from '../model/names.ts';
import { quoted } from './error.ts';

/** Variables by their full name. One that is empty counts as missing, as in libcni. */
export type Environment = Readonly<Record<string, string | undefined>>;

export const Command = z.enum(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION']);
export type Command = z.infer<typeof Command>;

/** What names one attachment of a container to a network (CNI 1.1, section 3). */
export interface AttachmentId {
  readonly containerId: ContainerId;
  readonly ifName: IfName;
}

/** PATH_MAX of linux/limits.h: a longer path cannot exist. */
const LONGEST_PATH = 4096;

const NetnsPath = z
  .string()
  .max(LONGEST_PATH, `must have at most ${LONGEST_PATH} characters`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  .regex(/^\/[^\x00-\x1f\x7f]*$/, 'must be an absolute path without control characters');

/** `lo` is never ours to make: the runtime sets it up. */
export const OurIfName = IfName.refine((name) => name !== 'lo', 'must not be the loopback interface');

/** @throws SluiceError `invalid_environment` */
export function readCommand(env: Environment): Command {
  return variable(env, 'CNI_COMMAND', Command, `set it to one of ${Command.options.join(', ')}`);
}

/** @throws SluiceError `invalid_environment` */
export function readAttachmentId(env: Environment): AttachmentId {
  return {
    containerId: variable(env, 'CNI_CONTAINERID', ContainerId, "set it to the container's id"),
    ifName: variable(env, 'CNI_IFNAME', OurIfName, 'set it to the name of the interface, such as eth0'),
  };
}

/** @throws SluiceError `invalid_environment` */
export function readNetns(env: Environment): string {
  const hint = 'set it to the path of a network namespace, such as /run/netns/NAME';
  return variable(env, 'CNI_NETNS', NetnsPath, hint);
}

/** Whether the runtime's own namespace may be the container's (libcni: CNI_NETNS_OVERRIDE). */
export function readNetnsOverride(env: Environment): boolean {
  const value = env['CNI_NETNS_OVERRIDE'] ?? '';
  return value === '1' || value.toUpperCase() === 'TRUE';
}

function variable<S extends z.ZodType>(env: Environment, name: string, schema: S, hint: string): z.output<S> {
  const value = env[name] ?? '';
  if (value === '') throw new SluiceError('invalid_environment', `${name} is missing`, hint);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const reason = parsed.error.issues.map((issue) => issue.message).join('; ');
  throw new SluiceError('invalid_environment', `${name} is ${quoted(value)}: ${reason}`, hint);
}
