/** The guard as a part of tagqueue: what it is started with, what it is told, and where its refusals go. */
import * as z from 'zod';
import { readTextIfThere, writeAtomically } from '../../linux/files.ts';
import { interfaceName } from '../../linux/interface-name.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { DropEvent } from '../../model/drop.ts';
import { GuardRules } from '../../model/guard.ts';
import type { Log } from '../../model/log.ts';
import { type NodeName, TenantTag } from '../../model/names.ts';
import type { DropNames } from '../drop-names.ts';
import type { DropLog } from '../drops.ts';
import type { PlaneOptions } from '../plane.ts';
import { type Guard, openGuard } from './guard.ts';
import type { PortsPlace, RefusedFlow, TenantRules } from './messages.ts';

/** What the guard must know of the plane. */
export interface GuardedPlane {
  readonly ports: PortsPlace;
  /** @returns undefined for a tenant without a container here */
  markOf(tag: TenantTag): number | undefined;
  /** Whether flows to this address are none of the guard's, though they bear a tenant's mark. */
  isInternal(address: Ipv4): boolean;
}

export interface GuardSource {
  readonly guards: AsyncIterable<readonly TenantRules[]>;
  readonly externalBridge: PlaneOptions['uplink'];
}

/** What was told last, so that a restart without the server judges by it. */
export function rulesFileOf(stateDir: string): string {
  return `${stateDir}/guards.json`;
}

const SavedRules = z.array(z.strictObject({ tag: TenantTag, rules: GuardRules }));

/** Runs until it is closed; rules come when they come, and until the first ones nothing of guarded tenants gets out. */
export function startGuard(
  plane: GuardedPlane,
  drops: Pick<DropLog, 'add'>,
  names: DropNames,
  options: Pick<PlaneOptions, 'node' | 'markMask' | 'log'> & {
    readonly stateDir: string;
    readonly signal: AbortSignal;
  },
  { guards, externalBridge }: GuardSource,
): Guard {
  const { node, markMask, log, stateDir, signal } = options;
  const guard = openGuard({
    ...{ externalBridge, markMask, log },
    ports: plane.ports,
    markOf: (tag) => plane.markOf(tag),
    isInternal: (address) => plane.isInternal(address),
    refused: (flow) => drops.add([eventOf(flow, node, names)]),
  });
  const file = rulesFileOf(stateDir);
  const saved = loadRules(file, log);
  if (saved !== undefined) guard.setRules(saved);
  void follow(guard, guards, file, signal);
  return guard;
}

async function follow(
  guard: Guard,
  guards: GuardSource['guards'],
  file: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const rules of guards) {
    if (signal.aborted) return;
    writeAtomically(file, JSON.stringify(rules));
    guard.setRules(rules);
  }
}

function loadRules(file: string, log: Log): TenantRules[] | undefined {
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    return SavedRules.parse(JSON.parse(text));
  } catch (error) {
    log.warn({ file, err: error }, 'the saved guard rules are damaged; waiting for the server');
    return undefined;
  }
}

function eventOf(
  { at, tag, ifindex, rule, domain, length, header }: RefusedFlow,
  node: NodeName,
  names: DropNames,
): DropEvent {
  const name = interfaceName(ifindex);
  // Its container is known by the next one at the latest.
  if (name !== undefined) void names.learn([name]);
  return {
    time: new Date(at).toISOString(),
    ...{ node, tag, ifindex, rule, length: Math.min(length, 0xffff), header },
    tenant: names.tenantOf(tag),
    container: names.containerOf(name),
    ...(name !== undefined && { interface: name }),
    reason: 'guard',
    hook: 'guard',
    ...(domain !== null && { domain: domain.slice(0, 128) }),
  };
}
