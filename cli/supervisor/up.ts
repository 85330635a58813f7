/** `sluice up`: the daemons of one machine under one supervisor. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockFile } from '../../linux/file-lock.ts';
import { joinCluster } from '../../linux/join.ts';
import { ownNetnsInode } from '../../linux/netns.ts';
import { identify } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { IfName } from '../../model/names.ts';
import { daemonRuns } from '../daemon-lock.ts';
import type { NodeOptions } from '../node-options.ts';
import { type Daemon, daemonsOf, type Places } from '../places.ts';
import type { StorageChoice } from '../storage-choice.ts';
import { ROOT } from '../version.ts';
import { nodeStatus } from './status.ts';
import { type Supervised, supervise } from './supervise.ts';
import { readUpRecord, upLockOf, writeUpRecord } from './up-file.ts';

export interface UpOptions extends Omit<NodeOptions, 'uplink'> {
  readonly places: Places;
  readonly uplink: IfName;
  readonly uplinkAddress: Ipv4;
  readonly storage: StorageChoice;
  /** A join token; needed the first time only. */
  readonly token: string | undefined;
  /** One line of a daemon's log. */
  onLine(line: string): void;
  readonly log: Log;
  /** Fired when the daemons are to stop. */
  readonly signal: AbortSignal;
}

/**
 * Runs until the signal, then stops the daemons and leaves containers and their fence as they are.
 *
 * @returns 0, or the exit code of a daemon that cannot work as it is configured
 * @throws SluiceError `already_exists` (another `up` has this run directory), and what joining throws
 */
export async function up(options: UpOptions): Promise<number> {
  const { places, node, join, log, signal } = options;
  using lock = lockFile(upLockOf(places));
  if (lock === undefined) throw alreadyUp(places);
  if (join !== undefined) {
    const { uplinkAddress, token } = options;
    await joinCluster({ server: join, token, node, uplinkAddress, stateDir: places.stateDir });
  }
  const daemons = daemonsOf({ joined: join !== undefined, storage: options.storage.volumes });
  await predecessorsGone(places, daemons, signal);
  record(options, daemons);
  const ended = Promise.withResolvers<number>();
  signal.addEventListener('abort', () => ended.resolve(0), { once: true });
  if (signal.aborted) ended.resolve(0);
  const running = daemons.map((daemon) => startDaemon(options, daemon, ended.resolve));
  void announce(options);
  const exitCode = await ended.promise;
  log.info({}, 'stopping; containers stay as they are, and fenced');
  await stopAll(running);
  return exitCode;
}

function startDaemon(options: UpOptions, daemon: Daemon, end: (exitCode: number) => void): Supervised {
  const { node, zone, labels, uplink, listen, join, bricks, log, onLine } = options;
  const args = ['--supervised', '--node', node, '--uplink', uplink];
  if (zone !== undefined) args.push('--zone', zone);
  for (const [key, value] of Object.entries(labels)) args.push('--label', `${key}=${value}`);
  if (listen !== undefined) args.push('--listen', listen);
  if (join !== undefined) args.push('--join', join);
  if (bricks !== 'auto') args.push(bricks === 'on' ? '--storage' : '--no-storage');
  return supervise({
    daemon,
    script: path.join(ROOT, 'cli', 'main.ts'),
    args,
    onLine,
    onRefusal: (exitCode) => {
      log.error({ daemon }, `${daemon} cannot work like this; see what it said`);
      end(exitCode);
    },
    log,
    tested: process.env['SLUICE_FAIL_POINTS'] !== undefined,
  });
}

/** Whoever uses a daemon goes before it. */
async function stopAll(running: readonly Supervised[]): Promise<void> {
  for (const daemon of running.toReversed()) await daemon.stop();
}

function record({ places, node, uplink, listen, join }: UpOptions, daemons: Daemon[]): void {
  writeUpRecord(places, {
    pid: process.pid,
    startedAt: identify(process.pid)?.startedAt ?? 0,
    node,
    uplink,
    netns: ownNetnsInode,
    stateDir: places.stateDir,
    server: listen ?? join ?? null,
    daemons,
    started: new Date().toISOString(),
  });
}

const LOOK_EVERY_MS = 100;
const PREDECESSORS_GO_WITHIN_MS = 20_000;

/** The daemons of a supervisor that was killed notice it and stop, which takes them a moment. */
async function predecessorsGone(
  places: Places,
  daemons: readonly Daemon[],
  signal: AbortSignal,
): Promise<void> {
  const until = Date.now() + PREDECESSORS_GO_WITHIN_MS;
  for (;;) {
    const still = daemons.filter((daemon) => daemonRuns(places, daemon));
    if (still.length === 0 || signal.aborted) return;
    if (Date.now() > until) throw othersRun(places, still);
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Says once that all is ready. */
async function announce({ places, node, log, signal }: UpOptions): Promise<void> {
  while (!signal.aborted) {
    if ((await nodeStatus(places)).ready) return log.info({}, `node ${node} is ready`);
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

function alreadyUp(places: Places): SluiceError {
  const other = readUpRecord(places);
  return new SluiceError(
    'already_exists',
    `sluice is up already in ${places.runDir}${other === undefined ? '' : `: node ${other.node}, process ${other.pid}`}`,
    'stop it first (Ctrl-C there, or sluice down), or give this node its own SLUICE_RUN_DIR',
  );
}

function othersRun({ runDir }: Places, daemons: readonly Daemon[]): SluiceError {
  return new SluiceError(
    'already_exists',
    `${daemons.join(' and ')} already run in ${runDir} without \`sluice up\``,
    'stop them first, for example: systemctl stop sluice.target',
  );
}
