/** A guest with the second kernel: what it is, what comes back from it, and that nothing of it is left. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { bootGuest, type Guest } from '../../lab/vm/guest.ts';
import { runOk } from '../../linux/process.ts';
import { until } from '../runtimes/until.ts';

let guest: Guest;

beforeAll(async () => {
  guest = await bootGuest();
});
afterAll(() => guest?.stop());

const shell = (script: string) => guest.run(['sh', '-ec', script]);

async function output(script: string): Promise<string> {
  const { code, stdout, stderr } = await shell(script);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trim();
}

/** Guests that this process has started, by their numbers. */
async function ourGuests(): Promise<string[]> {
  const all = await runOk(['ps', '--ppid', String(process.pid), '-o', 'pid=,comm=']);
  return all.split('\n').filter((line) => /qemu|virtiofsd/.test(line));
}

describe('a guest', () => {
  it("has Debian's stock kernel, and cgroup v2 with every controller that limits are made of", async () => {
    expect(await output('uname -r')).toMatch(/-cloud-amd64$/);
    expect(await output('stat -f -c %T /sys/fs/cgroup')).toBe('cgroup2fs');
    const controllers = (await output('cat /sys/fs/cgroup/cgroup.subtree_control')).split(' ');
    expect(controllers).toEqual(expect.arrayContaining(['cpu', 'cpuset', 'io', 'memory', 'pids']));
  });

  it('holds the limits of a group', async () => {
    const disk = await output('cat /sys/block/vda/dev');
    const held = await output(`
      group=/sys/fs/cgroup/proof
      mkdir $group
      echo '50000 100000' >$group/cpu.max
      echo 64M >$group/memory.max
      echo 20 >$group/pids.max
      echo '${disk} rbps=2097152 wiops=120' >$group/io.max
      cd $group
      tail -n 1 cpu.max memory.max pids.max io.max
      rmdir $group`);
    expect(held.split(/\n+/)).toEqual([
      ...['==> cpu.max <==', '50000 100000', '==> memory.max <==', '67108864'],
      ...['==> pids.max <==', '20', '==> io.max <==', `${disk} rbps=2097152 wbps=max riops=max wiops=120`],
    ]);
  });

  it('gives back exit code, output and errors, each by itself', async () => {
    expect(await shell('echo "one two"; echo no >&2; printf end; exit 3')).toEqual({
      ...{ code: 3, stdout: 'one two\nend', stderr: 'no\n' },
    });
    expect(await shell('kill -9 $$')).toMatchObject({ code: 137 });
  });

  it("cannot write into the machine's files, and loads modules when they are asked for", async () => {
    const checkout = await output('pwd');
    expect(checkout).toBe(process.cwd());
    // Written over, in memory: the machine does not see it.
    await output('echo changed >package.json; touch /usr/bin/of-the-guest');
    expect(readdirSync(checkout)).toContain('package.json');
    expect(await runOk(['head', '-c', '1', 'package.json'])).toBe('{');
    expect(readdirSync('/usr/bin')).not.toContain('of-the-guest');
    expect(await output('ls /sys/module')).not.toMatch(/^veth$/m);
    expect(await output('ip link add proof type veth; ls /sys/module')).toMatch(/^veth$/m);
  });

  it('is switched off when a command takes too long, and leaves nothing', async () => {
    const scratch = readdirSync(tmpdir()).filter((name) => name.startsWith('sluice-vm'));
    const other = await bootGuest();
    expect(await ourGuests()).toHaveLength(4);
    await expect(other.run(['sleep', '600'], { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining("'sleep 600' takes longer than 300 ms"),
    });
    await until('the other guest is gone', async () => (await ourGuests()).length === 2);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('sluice-vm'))).toEqual(scratch);
    expect(await output('echo still here')).toBe('still here');
  });

  it('says what its console said last when its kernel dies', async () => {
    await using other = await bootGuest();
    await expect(other.run(['sh', '-c', 'echo c >/proc/sysrq-trigger'])).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining('sysrq triggered crash'),
    });
  });
});
