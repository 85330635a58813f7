/** `sluice switch close`, `extend` and `approve`. */
import { Duration, millisecondsOf } from '../../model/duration.ts';
import { SluiceError } from '../../model/errors.ts';
import type { SwitchShown } from '../../model/switch-request.ts';
import { timeOf as timeIn } from '../../model/switch-times.ts';
import { timeOf } from '../output.ts';
import { change, type PlannedChange } from './change.ts';
import { pathTo, type ServerFlags, withServer } from './clients.ts';
import type { Changing, Destroying } from './options.ts';
import { findSwitch } from './switch-find.ts';
import { WAIT_MS } from './switch-open.ts';
import { countOf, shownText } from './switch-text.ts';

const PATH = '/v1/switches';

interface CloseFlags extends Destroying, ServerFlags {
  readonly switch?: string | undefined;
  readonly all: boolean;
  readonly reason: string;
}

export async function close(flags: CloseFlags): Promise<void> {
  if ((flags.switch === undefined) !== flags.all)
    throw new SluiceError(
      'invalid_request',
      'it is not clear which switch to close',
      'say its id, or --all for every one',
    );
  if (flags.switch === undefined) return closeAll(flags);
  const id = await findSwitch(flags, flags.switch);
  await change<SwitchShown>(flags, shownAfter(id, 'close', { reason: flags.reason }, `close switch ${id}`));
}

interface ClosedAll {
  readonly closed: readonly string[];
  readonly settled: boolean;
}

async function closeAll(flags: Destroying & ServerFlags & { readonly reason: string }): Promise<void> {
  const closed: PlannedChange<ClosedAll> = {
    method: 'POST',
    path: `${PATH}/close-all?waitMs=${WAIT_MS}`,
    body: { reason: flags.reason },
    what: 'close every switch of the cluster',
    json: (answer) => answer,
    text: (answer) =>
      `${countOf(answer.closed.length, 'switch is', 'switches are')} closed${answer.settled ? '' : '; not every node has answered yet'}`,
  };
  await change(flags, closed, true);
}

interface ExtendFlags extends Changing, ServerFlags {
  readonly switch: string;
  readonly until?: string | undefined;
  readonly by?: string | undefined;
  readonly zone?: string | undefined;
  readonly force: boolean;
  readonly reason: string;
}

export async function extend(flags: ExtendFlags): Promise<void> {
  const { force, reason } = flags;
  const id = await findSwitch(flags, flags.switch);
  const until = await endOf(flags, id);
  const what = `let switch ${id} last until ${timeOf(until)}`;
  await change<SwitchShown>(flags, shownAfter(id, 'extend', { until, reason, force }, what));
}

async function endOf(flags: ExtendFlags, id: string): Promise<number> {
  const { until, by, zone } = flags;
  if ((until === undefined) === (by === undefined))
    throw new SluiceError('invalid_request', 'it is not clear until when', 'say either --until T or --by 2h');
  if (until !== undefined) return timeIn('--until', until, zone, Date.now());
  const length = Duration.safeParse(by);
  if (!length.success || length.data === 0)
    throw new SluiceError(
      'invalid_request',
      `--by: ${JSON.stringify(by)} is no length of time`,
      'say 30m or 2h',
    );
  const present = await withServer(
    flags,
    async (client) => (await client.request('GET', pathTo(PATH, id))) as SwitchShown,
  );
  return present.switch.until + millisecondsOf(length.data);
}

interface ApproveFlags extends Changing, ServerFlags {
  readonly switch: string;
  readonly force: boolean;
  readonly reason: string;
}

export async function approve(flags: ApproveFlags): Promise<void> {
  const { force, reason } = flags;
  const id = await findSwitch(flags, flags.switch);
  await change<SwitchShown>(flags, shownAfter(id, 'approve', { reason, force }, `agree to switch ${id}`));
}

function shownAfter(id: string, verb: string, body: object, what: string): PlannedChange<SwitchShown> {
  return {
    ...{ method: 'POST', path: `${pathTo(PATH, id, verb)}?waitMs=${WAIT_MS}`, body, what },
    json: (answer) => answer,
    text: shownText,
  };
}
