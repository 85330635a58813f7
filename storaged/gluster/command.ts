/** The command `gluster --mode=script --xml`: one call at a time, tried again while Gluster says so, its refusals as our errors. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Argv, type Outcome, type RunOptions, run } from '../../linux/process.ts';
import { type ErrorCode, SluiceError } from '../../model/errors.ts';
import { at, parseXml, textAt, type XmlElement } from './xml.ts';

export interface CommandOptions {
  /** For one try; default 60 s. Gluster itself waits 120 s for a peer that does not answer. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** @returns the element `cliOutput`. @throws SluiceError with Gluster's own words */
export type GlusterCommand = (args: readonly string[], options?: CommandOptions) => Promise<XmlElement>;

export interface CommandWorld {
  /** The program, as it is run where glusterd is. */
  readonly inside: (argv: Argv) => Argv;
  readonly run?: (argv: Argv, options: RunOptions) => Promise<Outcome>;
  readonly pause?: (ms: number) => Promise<unknown>;
}

const TIMEOUT_MS = 60_000;
/** Orders of other nodes take a second at most; one that is stuck lets go after 180 s (glusterd's lock timer). */
const WAITS_MS = [50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 2_000, 2_000, 3_000, 3_000] as const;

/** What Gluster says, and what that is to us. The first that fits counts; else it is `storage_failed`. */
const MEANINGS: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [
    /another transaction is in progress|locking failed|Unable to acquire lock/i,
    'try_again',
    'another order to Gluster is still at work; try again',
  ],
  [
    /Connection failed|connection to glusterd|Request timed out/i,
    'try_again',
    'glusterd is not running or busy; storaged starts it again',
  ],
  [
    /not in 'Peer in Cluster' state|Probe returned with|peers? (?:is|are) (?:not connected|down)|not connected/i,
    'try_again',
    'a storage node does not answer; it goes on when that is back',
  ],
  [/Volume .* already exists/i, 'already_exists', 'choose another name, or use the volume that is there'],
  [
    /already part of a volume|Brick may be containing or be contained by|or a prefix of it is already/i,
    'already_exists',
    'the brick has belonged to a volume: it has to be made anew',
  ],
  [
    /brick op 'Heal' failed|self-heal daemon is not running/i,
    'try_again',
    'some brick is not there yet; what can be healed is',
  ],
  [/Volume .*(?:does not exist|not found)|is not part of cluster/i, 'not_found', 'see sluice volume list'],
];

/** Of these alone it is certain that nothing has been done yet. */
const NOTHING_DONE = /another transaction is in progress|locking failed|Unable to acquire lock/i;

export function glusterCommand(world: CommandWorld): GlusterCommand {
  const execute = world.run ?? run;
  const wait = world.pause ?? pause;
  let last: Promise<unknown> = Promise.resolve();
  const once = async (args: readonly string[], options: CommandOptions): Promise<XmlElement> => {
    const argv = world.inside(['gluster', '--mode=script', '--xml', '--log-file=/dev/null', ...args]);
    const outcome = await execute(argv, {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      ...(options.signal && { signal: options.signal }),
    });
    return answerOf(args, outcome);
  };
  const persist = async (args: readonly string[], options: CommandOptions): Promise<XmlElement> => {
    for (const ms of WAITS_MS) {
      try {
        return await once(args, options);
      } catch (error) {
        if (!(error instanceof SluiceError && NOTHING_DONE.test(error.message))) throw error;
        options.signal?.throwIfAborted();
      }
      await wait(ms);
    }
    return once(args, options);
  };
  return (args, options = {}) => {
    const mine = last.then(() => persist(args, options));
    last = mine.catch(() => undefined);
    return mine;
  };
}

const NOTHING_SAID: XmlElement = { name: 'cliOutput', attributes: new Map(), children: [], text: '' };

/** The exit code is no guide: it is 0 for most refusals. Pure. */
export function answerOf(args: readonly string[], { code, stdout, stderr }: Outcome): XmlElement {
  if (!stdout.trimStart().startsWith('<')) {
    // Some orders have no XML for their success: `volume heal`.
    if (code === 0 && stdout.trim() === '') return NOTHING_SAID;
    throw refusal(args, stdout.trim() || stderr.trim() || `exit code ${code}`);
  }
  const answer = parseXml(stdout);
  if (textAt(answer, 'opRet') === '0') return answer;
  const words = at(answer, 'opErrstr')?.text.trim() || at(answer, 'output')?.text.trim();
  throw refusal(args, words || `error ${at(answer, 'opErrno')?.text ?? 'without a number'}`);
}

function refusal(args: readonly string[], words: string): SluiceError {
  const [, code, hint] = MEANINGS.find(([pattern]) => pattern.test(words)) ?? [
    undefined,
    'storage_failed' as const,
    "see the logs in the node's directory gluster/log",
  ];
  return new SluiceError(
    code,
    `gluster ${args.join(' ').slice(0, 300)}: ${words.replaceAll(/\s+/g, ' ').slice(0, 1_000)}`,
    hint,
  );
}
