/** Checks of what takes longer to find out: the kernel's abilities, the daemons, the clock. */
import { DAEMONS } from '../places.ts';
import { type Finding, fail, ok, type ThoroughFacts, warn } from './facts.ts';

export function checkFeatures({ features }: ThoroughFacts): Finding[] {
  return features.map(({ name, what, error }) =>
    error === undefined
      ? ok(`kernel-${name}`, `the kernel can do ${what}`)
      : fail(
          `kernel-${name}`,
          `the kernel cannot do ${what}: ${error}`,
          'load the module (modprobe), or use a kernel that has it: docs/install.md',
        ),
  );
}

/** What hosts exchange is fastest when the kernel joins packets on their way in and splits them on their way out. */
export function checkOffloads({ offloads, uplinkName }: ThoroughFacts): Finding {
  const id = 'offloads';
  if (offloads === undefined) return ok(id, 'not looked at: ethtool or the uplink is missing');
  const off = ['generic-receive-offload', 'generic-segmentation-offload'].filter(
    (name) => offloads.get(name) === false,
  );
  if (off.length === 0) return ok(id, `generic offloads of ${uplinkName} are on`);
  return warn(
    id,
    `${off.join(' and ')} of ${uplinkName} is off: large transfers cost more`,
    `ethtool -K ${uplinkName} gro on gso on`,
  );
}

export function checkForwarding({ settings, status }: ThoroughFacts): Finding {
  const id = 'ip_forward';
  const isOn = settings.get('net/ipv4/ip_forward') === '1';
  if (isOn) return ok(id, 'the machine forwards packets');
  const netd = status.daemons.find(({ daemon }) => daemon === 'netd');
  if (netd?.ready !== true) return ok(id, 'the machine does not forward packets yet; netd changes that');
  return fail(
    id,
    'somebody has switched forwarding off: containers reach nobody outside this machine',
    'sysctl -w net.ipv4.ip_forward=1',
  );
}

export function checkDaemons({ status }: ThoroughFacts): Finding {
  const id = 'daemons';
  const { daemons, ready, pid } = status;
  if (ready) return ok(id, `${daemons.map(({ daemon }) => daemon).join(', ')} are ready`);
  if (pid === null && daemons.every(({ up }) => !up)) return ok(id, 'no daemon runs');
  const sick = daemons.filter((one) => !one.ready).map(({ daemon, reason }) => `${daemon}: ${reason}`);
  return fail(id, sick.join('; '), daemons.find(({ hint }) => hint !== null)?.hint ?? 'look at its log');
}

export function checkVersions({ status, version }: ThoroughFacts): Finding {
  const id = 'versions';
  const told = status.daemons.filter((one) => one.version !== null);
  const other = told.filter((one) => one.version !== version).map((one) => `${one.daemon} is ${one.version}`);
  if (told.length === 0) return ok(id, `this is ${version}; no daemon runs that tells its own`);
  if (other.length === 0) return ok(id, `this and the daemons are ${version}`);
  return warn(
    id,
    `this is ${version}, but ${other.join(', ')}`,
    `restart ${DAEMONS.map((name) => `sluice-${name}`).join(', ')}, or sluice up`,
  );
}

export function checkClock({ clockSynchronized }: ThoroughFacts): Finding {
  if (clockSynchronized !== false) return ok('clock', 'the clock is kept right');
  return warn(
    'clock',
    'nobody keeps the clock right: tokens end early or late, and logs of nodes do not agree',
    'apt install chrony',
  );
}

export function checkFastPath({ fastPath }: ThoroughFacts): Finding {
  const id = 'fast-path';
  if (fastPath === undefined) return ok(id, 'not looked at: tagqueue does not tell');
  if (fastPath.on) return ok(id, 'packets between containers go past bridge, routing and netfilter');
  const why = fastPath.why ?? 'it is switched off';
  return warn(
    id,
    `packets between containers take the long way: ${why}`,
    'it works, and costs more; see tagqueue.fastPath in docs/configuration.md',
  );
}

export function checkIpv6({ dropsIpv6 }: ThoroughFacts): Finding {
  const id = 'ipv6';
  if (dropsIpv6 !== true) return ok(id, 'nothing internal is dropped for being IPv6');
  return warn(
    id,
    "the cluster has internal IPv6 addresses, and this node's plane (nfqueue) does not carry them: it drops that",
    'use the eBPF plane here (tagqueue.plane in docs/configuration.md), or networks without ipv6',
  );
}

/** What the fence's own probes have shown (docs/probes.md). */
export function checkFence({ status }: ThoroughFacts): Finding {
  const id = 'fence-probes';
  const { fence } = status;
  if (fence === null) return ok(id, 'not looked at: tagqueue does not answer');
  if (fence.failures.length > 0) {
    const advice = 'look at that node at once: is its uplink guarded (sluice status), and by which object?';
    return fail(id, fence.failures.join('; '), advice);
  }
  const away = fence.unwell.map(({ node, state }) => `${node} is ${state}`);
  if (away.length > 0) return warn(id, away.join(', '), 'is it up? Its fence is not proved meanwhile');
  return ok(
    id,
    fence.peers.well === 0
      ? 'no other node to prove the fence against'
      : `${fence.peers.well} nodes are well`,
  );
}
