/** `sluice server`: the cluster's API in the foreground. */
import { once } from 'node:events';
import { runServer } from '../../orchestrator/server/main.ts';
import { runRole } from './role.ts';

export function server(args: readonly string[]): Promise<number> {
  return runRole('server', args, async ({ places, config, listen, version, log, signal }) => {
    const { internalPool, externalPool, blockPrefix } = config.network;
    const running = await runServer({
      runDir: places.runDir,
      stateDir: places.stateDir,
      ...(listen !== undefined && { listen }),
      settings: { internalPool, externalPool, blockPrefix },
      version,
      log,
    });
    if (!signal.aborted) await once(signal, 'abort');
    await running.close();
  });
}
