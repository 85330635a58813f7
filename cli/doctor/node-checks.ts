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
