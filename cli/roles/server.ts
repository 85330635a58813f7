/** `sluice server`: the cluster's API in the foreground. */
import { once } from 'node:events';
import { millisecondsOf } from '../../model/duration.ts';
import { RECONNECT_MS, runServer } from '../../orchestrator/server/main.ts';
import { switchRules } from '../../orchestrator/server/switch-rules.ts';
import { volumeRules } from '../../orchestrator/server/volume-rules.ts';
import { failPoints } from './fail-point.ts';
import { runRole } from './role.ts';

export function server(args: readonly string[]): Promise<number> {
  return runRole('server', args, async ({ places, config, listen, version, log, signal }) => {
    const { internalPool, externalPool, internalPool6, blockPrefix } = config.network;
    const running = await runServer({
      runDir: places.runDir,
      stateDir: places.stateDir,
      ...(listen !== undefined && { listen }),
      settings: { internalPool, externalPool, internalPool6, blockPrefix },
      keys: {
        rotateEveryMs: millisecondsOf(config.keys.rotateEvery),
        graceMs: millisecondsOf(config.keys.grace),
        waitMs: millisecondsOf(config.keys.waitForNodes),
        reconnectMs: RECONNECT_MS,
      },
      switches: switchRules(config.switches),
      volumes: volumeRules(config.storage),
      checkpoint: failPoints(process.env['SLUICE_FAIL_POINTS']),
      version,
      log,
    });
    if (!signal.aborted) await once(signal, 'abort');
    await running.close();
  });
}
