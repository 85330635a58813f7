/** `sluice volume`: file systems that several containers of a tenant share, on any node. */
import type { Argv } from 'yargs';
import { changing, destroying, type Root, server } from './options.ts';
import { remove, undelete } from './volume-ends.ts';
import { create, createFlags, limit, move, moveFlags, resize, resizeFlags } from './volume-make.ts';
import { mount, mountFlags, unmount, unmountFlags } from './volume-mount.ts';
import { recover, recoverFlags } from './volume-recover.ts';
import { list, showOne, stats } from './volume-show.ts';
import { waitFlags } from './volume-wait.ts';

const VOLUME = { type: 'string', demandOption: true, describe: 'Its name, or its id' } as const;

type Whose = Argv<{ json: boolean; server: string | undefined; tenant: string | undefined }>;

export function volumes(yargs: Root): Argv {
  const whose = server(yargs).option('tenant', {
    type: 'string',
    describe: "Whose; a tenant's own token needs none",
  }) as unknown as Whose;
  return withMounts(withLooks(withMaking(whose))).demandCommand(
    1,
    'say what to do with volumes',
  ) as unknown as Argv;
}

function withMaking(yargs: Whose): Whose {
  return yargs
    .command(
      'create <name>',
      'Make a volume, and wait until it can be mounted',
      (y) => createFlags(y),
      (flags) => create(flags),
    )
    .command(
      'resize <volume>',
      'Let a volume grow, while it is in use',
      (y) => resizeFlags(changing(y.positional('volume', VOLUME))),
      (flags) => resize(flags),
    )
    .command(
      'limit <volume> [limits..]',
      'Say how fast each of its mounts may read and write, from now on; what is not named stays',
      (y) =>
        changing(waitFlags(y.positional('volume', VOLUME)))
          .positional('limits', {
            type: 'string',
            array: true,
            describe: 'read=20MB/s write=20MB/s readOps=500 writeOps=500; unlimited is a value',
          })
          .option('node', {
            type: 'boolean',
            default: false,
            describe: 'Of all its mounts on one node together',
          }),
      (flags) => limit(flags),
    )
    .command(
      'move <volume>',
      'Move its bricks from one storage node to another, where the other copies heal them',
      (y) => moveFlags(changing(y.positional('volume', VOLUME))),
      (flags) => move(flags),
    )
    .command(
      ['delete <volume>', 'rm'],
      'Delete a volume; its data is kept for a while, unless --now is said',
      (y) =>
        destroying(y.positional('volume', VOLUME)).option('now', {
          type: 'boolean',
          default: false,
          describe: 'With its data, at once and for good',
        }),
      (flags) => remove(flags),
    )
    .command(
      'undelete <volume>',
      'Take back that a volume was deleted, as long as its data is kept',
      (y) => changing(waitFlags(y.positional('volume', VOLUME))),
      (flags) => undelete(flags),
    );
}

function withLooks(yargs: Whose): Whose {
  return yargs
    .command(
      ['list', 'ls'],
      'List volumes',
      (y) => y.option('all', { type: 'boolean', default: false, describe: 'Deleted ones, too' }),
      (flags) => list(flags),
    )
    .command(
      'show <volume>',
      'Show a volume: its bricks, its mounts, and what has befallen it',
      (y) => y.positional('volume', VOLUME),
      (flags) => showOne(flags),
    )
    .command(
      'stats <volume>',
      'Show what its mounts do at the moment: rates, latencies, waiting for limits',
      (y) =>
        y.positional('volume', VOLUME).option('follow', {
          alias: 'f',
          type: 'boolean',
          default: false,
          describe: 'Again and again, as soon as something is new',
        }),
      (flags) => stats(flags),
    );
}

function withMounts(yargs: Whose): Whose {
  return yargs
    .command(
      'mount <volume>',
      'Mount a volume for a container of this node',
      (y) => mountFlags(y.positional('volume', VOLUME)),
      (flags) => mount(flags),
    )
    .command(
      'unmount <volume>',
      'Unmount it from a container of this node',
      (y) =>
        unmountFlags(
          changing(y.positional('volume', { ...VOLUME, describe: 'Its name or its id, or the mount' })),
        ),
      (flags) => unmount(flags),
    )
    .command(
      'recover <volume>',
      'Read its files from the bricks of this node, when Gluster cannot be had; it writes to no brick',
      (y) => recoverFlags(changing(y.positional('volume', VOLUME))),
      (flags) => recover(flags),
    );
}
