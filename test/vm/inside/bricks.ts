/** Bricks on a kernel that has project quotas: fills one, storms it, grows it; prints what the kernel says of it. */
import { createBrickKeeper } from '../../../storaged/bricks/keeper.ts';
import { brick, brickWorld, MIB, VOLUME } from '../../support/brick-world.ts';

const wanted = brick({ inodes: 5_000, bytes: 512 * MIB, thin: false });
await using world = await brickWorld('bkvm', '/var/tmp');
const keeper = createBrickKeeper({ ...world.place, reserve: 1, overcommit: 2 });

const made = await keeper.ensure(wanted);
const df = async (): Promise<number[]> =>
  (await world.shell(`stat -f -c '%S %b %c' ${made.path}`)).trim().split(' ').map(Number);
const [block = 0, blocks = 0, inodes] = await df();

await world.run('sh', '-c', `cd ${made.path} && seq 9000 | xargs touch`);
const files = Number(await world.shell(`find ${made.path} -mindepth 1 | wc -l`));
await world.shell(`rm -r ${made.path}/*`);

const filling = await world.run('dd', 'if=/dev/zero', `of=${made.path}/file`, 'bs=1M', 'conv=fsync');
const written = Number(await world.shell(`stat -c %s ${made.path}/file`));
const grown = await keeper.ensure({ ...wanted, bytes: 600 * MIB, inodes: 6_000 });

await world.reboot();
const again = await createBrickKeeper({ ...world.place, reserve: 1, overcommit: 2 }).ensure({
  ...wanted,
  ...{ bytes: 600 * MIB, inodes: 6_000 },
});
await keeper.remove(VOLUME, 0);
process.stdout.write(
  `${JSON.stringify({
    ...{ bytes: block * blocks, inodes, files, written, said: filling.stderr },
    ...{ grown: grown.fill, again: again.fill },
  })}\n`,
);
