/** `sluice netd`: the network daemon in the foreground. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../linux/api-client.ts';
import { type Clock, openClock, openShiftedClock } from '../../linux/clock.ts';
import { readCredential } from '../../linux/credential.ts';
import { registerNode } from '../../linux/join.ts';
import { Ipv4 } from '../../model/addresses.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { IfName } from '../../model/names.ts';
import { runNetd } from '../../netd/main.ts';
import type { Service } from '../../netd/service-ports.ts';
import { requireUplink } from '../node-options.ts';
import { failPoints } from './fail-point.ts';
import { type Role, runRole } from './role.ts';
import { clientOfServer } from './server-client.ts';
import { observeUplink } from './uplink-address.ts';

export function netd(args: readonly string[]): Promise<number> {
  return runRole('netd', args, async (role) => {
    const { places, config, node, log, signal } = role;
    const uplink = requireUplink(role);
    const server = clientOfServer(role);
    const running = await runNetd({
      node,
      uplink,
      runDir: places.runDir,
      stateDir: places.stateDir,
      server,
      services: servicesOf(role),
      markMask: config.network.markMask,
      vxlanPort: config.network.vxlanPort,
      flowLimits: {
        perEndpoint: config.network.conntrackPerEndpoint,
        perTenant: config.network.conntrackPerTenant,
        newPerSecond: config.network.newFlowsPerSecond,
      },
      views: config.views.lxcfs === 'on',
      cooldownMs: config.network.addressCooldownSeconds * 1_000,
      clock: clockOf(process.env['SLUICE_CLOCK_SHIFT']),
      checkpoint: failPoints(process.env['SLUICE_FAIL_POINTS']),
      log,
    });
    void register(role, server, uplink);
    if (!signal.aborted) await once(signal, 'abort');
    await running.close();
    server.close();
  });
}

/** @param shift  a file by which a test moves the clocks */
function clockOf(shift: string | undefined): Clock {
  return shift === undefined ? openClock() : openShiftedClock(shift);
}

/** The server's own address, which containers have no business at. */
function servicesOf({ places, listen, join }: Role): Service[] {
  const server = listen ?? readCredential(places.stateDir)?.server ?? join;
  if (server === undefined) return [];
  const [address, port] = server.split(':');
  return [{ protocol: 'tcp', address: Ipv4.parse(address), port: Number(port) }];
}

const LONGEST_PAUSE_MS = 5_000;

/** Tells the server where this node is; until that has succeeded once, the node has no addresses to give. */
async function register(
  { node, zone, labels, log, signal }: Role,
  server: ApiClient,
  uplink: IfName,
): Promise<void> {
  let told = '';
  for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      const { address, nic } = await observeUplink(uplink);
      await registerNode(server, node, address, { nic, zone: zone ?? null, labels });
      return;
    } catch (thrown) {
      const { message, hint } = asSluiceError(thrown);
      if (message !== told) log.warn({ hint }, `not registered with the server yet: ${message}`);
      told = message;
    }
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}
