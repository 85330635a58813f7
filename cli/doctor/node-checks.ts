/** Checks of what takes longer to find out: the kernel's abilities, the daemons, the clock. */
import { DAEMONS } from '../places.ts';
import { type Finding, fail, ok, type ThoroughFacts, warn } from './facts.ts';

/** What only the eBPF plane needs. */
const OF_EBPF: readonly string[] = ['clsact', 'bpf'];

export function checkFeatures(facts: ThoroughFacts): Finding[] {
  return facts.features.map(({ name, what, error }) => {
    const id = `kernel-${name}`;
    if (error === undefined) return ok(id, `the kernel can do ${what}`);
    const found = `the kernel cannot do ${what}`;
    if (OF_EBPF.includes(name) && goesWithoutEbpf(facts)) return ok(id, `${found}, and need not`);
    return fail(
      id,
      `${found}: ${error}`,
      'load the module (modprobe), or use a kernel that has it: docs/install.md',
    );
  });
}

function goesWithoutEbpf({ plane, lack }: ThoroughFacts): boolean {
  return plane === 'nfqueue' || (plane === 'auto' && lack !== undefined);
}

/** What enforces the fence here, or would. */
export function checkPlane(facts: ThoroughFacts): Finding {
  const id = 'plane';
  const { plane, lack, status } = facts;
  const without = goesWithoutEbpf(facts);
  const words = without ? 'rules and packet queues to userland (nfqueue)' : 'eBPF programs';
  const why = without && lack !== undefined ? `the kernel lacks ${lack}` : `tagqueue.plane is ${plane}`;
  const expected = without ? 'nfqueue' : 'ebpf';
  if (status.plane === null || status.plane === expected) return ok(id, `the fence is ${words}: ${why}`);
  return warn(
    id,
    `the fence would be ${words} (${why}), but ${status.plane} runs`,
    'restart tagqueue: the plane is chosen when it starts',
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

export function checkFastPath({ fastPath, status }: ThoroughFacts): Finding {
  const id = 'fast-path';
  if (status.plane === 'nfqueue') return ok(id, 'the plane nfqueue has none');
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
