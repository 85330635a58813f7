/** Puts the keeper of limits together: what it knows is read, and it begins to work. */
import type { ApiClient } from '../../linux/api-client.ts';
import type { Clock } from '../../linux/clock.ts';
import { endpointKey } from '../../model/endpoint.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Store } from '../../store/contract.ts';
import type { EndpointLimits } from '../context.ts';
import { driveLimits } from './drive.ts';
import { LimitsKeeper, type LimitsWorld } from './keeper.ts';
import { openSwitches } from './open-switches.ts';
import { openLimitRecords } from './records.ts';
import { createReports } from './report.ts';
import { reportLimits } from './reporter.ts';
import { followVolumes } from './volume-keeper.ts';

export interface LimitsOptions
  extends Omit<LimitsWorld, 'records' | 'switches' | 'volumes' | 'now' | 'late'> {
  readonly store: Store;
  readonly clock: Clock;
  readonly server: Pick<ApiClient, 'request'>;
  /** Its socket; a node need not have one. */
  readonly storaged: Pick<ApiClient, 'request' | 'stream'>;
  readonly signal: AbortSignal;
}

export interface RunningLimits {
  readonly keeper: LimitsKeeper;
  /** For ADD, CHECK and DEL. */
  readonly endpoints: EndpointLimits;
  /** Something that limits depend on has changed. */
  request(): void;
  stop(): Promise<void>;
}

/** @throws SluiceError `store_failed` when its records cannot be read */
export async function startLimits(options: LimitsOptions): Promise<RunningLimits> {
  const { store, clock, server, storaged, signal, log, node } = options;
  const records = await openLimitRecords(store);
  const switches = await openSwitches(store, clock, log);
  const late = (): void => driver.request();
  const volumes = followVolumes(storaged, signal, late, log);
  const keeper = new LimitsKeeper({ ...options, records, switches, volumes, now: () => clock().wall, late });
  const reporter = reportLimits(createReports(keeper, node, options.capacity), server, node, signal, log);
  const driver = driveLimits(keeper, (urgent) => reporter.nudge(urgent), log);
  return {
    keeper,
    endpoints: {
      admit: (endpoint) => keeper.admit(endpoint),
      attached: () => {
        driver.attached();
        reporter.nudge(false);
      },
      faultsOf: (endpoint) => keeper.faultsOf(endpoint),
      // The container is gone all the same, and the next round takes away what is left of its rates.
      release: (endpoint) =>
        keeper
          .release(endpoint)
          .catch((error: unknown) =>
            log.warn(
              { container: endpointKey(endpoint), reason: asSluiceError(error).message },
              'limits of a container that is gone are still there',
            ),
          )
          .then(() => driver.released()),
    },
    request: () => driver.request(),
    stop: () => driver.stop(),
  };
}
