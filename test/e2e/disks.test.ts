/** Which disks the kernel throttles for what a process has mounted, on real ones. Needs root. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { disksOf, numbersOf } from '../../linux/disks.ts';
import { type Daemon, runOk, startDaemon } from '../../linux/process.ts';
import { until } from '../runtimes/until.ts';

let directory: string;
let device: string | undefined;
let daemon: Daemon | undefined;

/** The numbers of a device, whose name is a path. */
const numbers = (path: string): string => numbersOf(statSync(path).rdev);

beforeEach(() => {
  directory = mkdtempSync('/var/tmp/sluice-disks-');
});
afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
  if (device !== undefined) await runOk(['losetup', '--detach', device]);
  device = undefined;
  rmSync(directory, { recursive: true });
});

/** A process that has mounts of its own, and sees no others than those that the script leaves. */
async function processWith(script: string, ...args: string[]): Promise<number> {
  const all = `${script}\nexec sleep 2147483647`;
  daemon = await startDaemon(['unshare', '--mount', 'sh', '-euc', all, 'sh', ...args]);
  const { pid } = daemon.id;
  await until('it has its mounts', () => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n');
  return pid;
}

async function loop(mib: number): Promise<string> {
  writeFileSync(`${directory}/image`, '');
  truncateSync(`${directory}/image`, mib * 2 ** 20);
  device = (await runOk(['losetup', '--find', '--show', '--partscan', `${directory}/image`])).trim();
  return device;
}

it('a partition stands for its disk, a loop device for itself', async () => {
  const disk = await loop(32);
  const partition = `${disk}p1`;
  await runOk(['addpart', disk, '1', '2048', '60000']);
  await runOk(['mkfs.ext4', '-q', partition]);
  const pid = await processWith('mount "$1" "$2"', partition, directory);
  expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).toContain(` ${numbers(partition)} `);
  const disks = await disksOf([pid]);
  expect(disks).toContain(numbers(disk));
  expect(disks).not.toContain(numbers(partition));
});

it('an overlay stands for the disk that it is written to, where that is not mounted itself', async () => {
  const disk = await loop(32);
  await runOk(['mkfs.ext4', '-q', disk]);
  for (const name of ['disk', 'lower', 'merged']) mkdirSync(`${directory}/${name}`);
  await runOk(['mount', disk, `${directory}/disk`]);
  try {
    for (const name of ['upper', 'work']) mkdirSync(`${directory}/disk/${name}`);
    const layers = `lowerdir=${directory}/lower,upperdir=${directory}/disk/upper,workdir=${directory}/disk/work`;
    const script = 'mount -t overlay overlay -o "$1" "$2"; umount "$3"';
    const pid = await processWith(script, layers, `${directory}/merged`, `${directory}/disk`);
    expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).not.toContain(` ${numbers(disk)} `);
    expect(await disksOf([pid])).toContain(numbers(disk));
    await daemon?.stop();
    expect(await disksOf([pid])).toEqual([]);
  } finally {
    await runOk(['umount', `${directory}/disk`]);
  }
});
