/** `sluice up` from the command line: checks the machine first, says what it would change, shows what the daemons say. */
import { pino } from 'pino';
import { listAddresses, listRoutes } from '../../linux/addressing.ts';
import { tryBpf } from '../../linux/bpf-abilities.ts';
import { listLinks } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { readSysctl } from '../../linux/sysctl.ts';
import type { Config } from '../../model/config.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { IfName } from '../../model/names.ts';
import { nodeSettings, type ObservedNode } from '../../netd/node-plan.ts';
import { lackOfEbpf } from '../../tagqueue/ebpf-lack.ts';
import { machineFindings } from '../doctor/checks.ts';
import type { Finding } from '../doctor/facts.ts';
import { observeMachine } from '../doctor/observe.ts';
import type { NodeOptions } from '../node-options.ts';
import { show, table } from '../output.ts';
import type { Places } from '../places.ts';
import { uplinkAddress } from '../roles/uplink-address.ts';
import { poolOf, storageChoice } from '../storage-choice.ts';
import { changesOf } from './changes.ts';
import { readableLine } from './log-lines.ts';
import { up } from './up.ts';

export interface UpRequest extends Omit<NodeOptions, 'uplink'> {
  readonly uplink: IfName;
  readonly places: Places;
  readonly config: Config;
  readonly token: string | undefined;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * @returns the exit code
 * @throws SluiceError `refused` when the machine does not fit, before anything is changed
 */
export async function runUpFor(request: UpRequest): Promise<number> {
  const { node, zone, labels, uplink, listen, join, bricks, places, config, token } = request;
  const storage = storageChoice(request);
  const findings = machineFindings(await observeMachine(request));
  const failed = findings.filter(({ level }) => level === 'fail');
  if (failed.length > 0) throw unfit(failed);
  const address = await uplinkAddress(uplink);
  if (request.dryRun) return showChanges(request);
  const onLine = lineWriter();
  const log = supervisorLog(config.log, onLine);
  for (const { id, level, found, advice } of findings)
    if (level === 'warn') log.warn({ check: id, advice }, found);
  const signal = stopSignal();
  const self = { node, zone, labels, uplink, uplinkAddress: address, listen, join, bricks, storage };
  return up({ ...self, places, token, onLine, log, signal });
}

function unfit(failed: readonly Finding[]): SluiceError {
  const [first, ...rest] = failed.map(({ found }) => found);
  const hints = failed.map(({ advice }) => advice).join('; ');
  return new SluiceError('refused', [`this machine cannot be a node: ${first}`, ...rest].join('\n'), hints);
}

async function showChanges(request: UpRequest): Promise<number> {
  const { node, uplink: name, listen, join, places, config, json } = request;
  const observed = await observe();
  const uplink = observed.links.find((link) => link.name === name);
  if (uplink === undefined)
    throw new SluiceError('not_found', `there is no interface ${name}`, 'see `ip link`');
  // An uplink without an address is refused here as it would be later.
  await uplinkAddress(name);
  const { network, tagqueue } = config;
  const plane = await planeHere(tagqueue.plane);
  const { gear } = tagqueue;
  const changes = changesOf({
    ...{ node, uplink, listen, join, network, plane, gear, places, observed },
    storage: { ...storageChoice(request), pool: poolOf(places, config.storage) },
  });
  const rows = changes.map(({ kind, what }) => [kind, what]);
  show(json, { dryRun: true, node, changes }, () =>
    table(['kind', 'would be'], rows, 'nothing would change'),
  );
  return 0;
}

async function planeHere(choice: Config['tagqueue']['plane']): Promise<'ebpf' | 'nfqueue'> {
  if (choice !== 'auto') return choice;
  return lackOfEbpf(await tryBpf()) === undefined ? 'ebpf' : 'nfqueue';
}

/** The node's bridges may not be there yet, so their settings are not asked for. */
async function observe(): Promise<ObservedNode> {
  const route = openNetlink(NETLINK_ROUTE);
  try {
    return {
      links: await listLinks(route),
      addresses: await listAddresses(route),
      routes: await listRoutes(route),
      settings: new Map(nodeSettings().map(({ name }) => [name, readSysctl(name)])),
    };
  } finally {
    route.close();
  }
}

/** People read lines; whoever collects logs gets them as they are. */
function lineWriter(): (line: string) => void {
  if (!process.stderr.isTTY) return (line) => void process.stderr.write(`${line}\n`);
  return (line) => void process.stderr.write(`${readableLine(line, true)}\n`);
}

function supervisorLog(level: Config['log'], onLine: (line: string) => void): Log {
  return pino({ level, base: { role: 'up' } }, { write: (line: string) => onLine(line.trimEnd()) });
}

function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => stop.abort());
  return stop.signal;
}
