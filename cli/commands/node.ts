/** `sluice node`: the machines of the cluster. */
import type { Argv } from 'yargs';
import type { ClusterNode } from '../../model/cluster.ts';
import { loadConfig } from '../config.ts';
import { nodeOptions, requireUplink } from '../node-options.ts';
import { show, table, timeOf } from '../output.ts';
import { placesOf } from '../places.ts';
import { change } from './change.ts';
import { listAll, pathTo, withServer } from './clients.ts';
import { type Changing, changing, destroying, type Root, server } from './options.ts';

const PATH = '/v1/nodes';
const NAME = { type: 'string', demandOption: true, describe: 'As `sluice node list` shows it' } as const;

export function node(yargs: Root): Argv {
  return server(yargs)
    .command(
      'join <address>',
      'Make this machine a node of a cluster, without starting anything',
      (y) =>
        changing(
          y.positional('address', {
            type: 'string',
            demandOption: true,
            describe: 'HOST:PORT of the server',
          }),
        )
          .option('token', {
            type: 'string',
            demandOption: true,
            describe: 'From `sluice token create --role node` on the server',
          })
          .option('node', { type: 'string', describe: "This node's name (default: the host name)" })
          .option('uplink', { type: 'string', describe: 'The interface that leads to the other nodes' }),
      (flags) => join(flags),
    )
    .command(
      ['list', 'ls'],
      'List nodes',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const nodes = await listAll<ClusterNode>(client, PATH);
          const rows = nodes.map((one) => [
            one.node,
            one.zone ?? '',
            one.uplinkAddress,
            one.internalBlock,
            one.externalBlock,
            one.fenced ? 'fenced' : '',
            timeOf(one.joinedAt),
          ]);
          show(flags.json, nodes, () =>
            table(
              ['node', 'zone', 'uplink', 'internal', 'external', 'fenced', 'joined'],
              rows,
              'no nodes yet',
            ),
          );
        }),
    )
    .command(
      'show <node>',
      'Show one node',
      (y) => y.positional('node', NAME),
      (flags) =>
        withServer(flags, async (client) => {
          const one = (await client.request('GET', pathTo(PATH, flags.node))) as ClusterNode;
          show(flags.json, one, () => textOf(one));
        }),
    )
    .command(
      'fence <node>',
      'Shut a node out at once: the keys it knows end everywhere, and it gets no others',
      (y) =>
        destroying(y.positional('node', NAME)).option('reason', {
          type: 'string',
          describe: 'For the audit log',
        }),
      (flags) =>
        change<ClusterNode>(
          flags,
          {
            method: 'PUT',
            path: pathTo(PATH, flags.node, 'fence'),
            body: flags.reason === undefined ? {} : { reason: flags.reason },
            what: `fence node ${flags.node}`,
            mustExist: pathTo(PATH, flags.node),
            json: (one) => one,
            text: (one) => `node ${one.node} is fenced`,
          },
          true,
        ),
    )
    .command(
      'unfence <node>',
      'Let a fenced node in again: it gets the present keys',
      (y) => changing(y.positional('node', NAME)),
      (flags) =>
        change<ClusterNode>(flags, {
          method: 'DELETE',
          path: pathTo(PATH, flags.node, 'fence'),
          what: `let node ${flags.node} in again`,
          mustExist: pathTo(PATH, flags.node),
          json: (one) => one,
          text: (one) => `node ${one.node} is no longer fenced`,
        }),
    )
    .command(
      ['remove <node>', 'delete', 'rm'],
      'Forget a node: it is shut out at once, and its addresses are free',
      (y) => destroying(y.positional('node', NAME)),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.node),
            what: `remove node ${flags.node}`,
            mustExist: pathTo(PATH, flags.node),
            json: () => ({ removed: flags.node }),
            text: () => `node ${flags.node} is removed`,
          },
          true,
        ),
    )
    .demandCommand(1, 'say what to do with nodes');
}

function textOf(one: ClusterNode): string {
  const lines = [
    ['node', one.node],
    ['zone', one.zone ?? ''],
    [
      'labels',
      Object.entries(one.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ],
    ['uplink', one.uplinkAddress],
    ['internal', one.internalBlock],
    ['external', one.externalBlock],
    ['fenced', one.fenced ? 'yes' : 'no'],
    ['card', one.nic ? 'yes' : 'no'],
    ['joined', timeOf(one.joinedAt)],
  ] as const;
  return lines.map(([name, value]) => `${name.padEnd(8)}  ${value}`).join('\n');
}

interface JoinFlags extends Changing {
  readonly address: string;
  readonly token: string;
  readonly node?: string | undefined;
  readonly uplink?: string | undefined;
}

async function join({ address, token, dryRun, json, ...flags }: JoinFlags): Promise<void> {
  const places = placesOf(process.env);
  const options = nodeOptions({ ...flags, join: address }, await loadConfig(places));
  const { uplinkAddress } = await import('../roles/uplink-address.ts');
  const uplink = await uplinkAddress(requireUplink(options));
  const what = `join the cluster at ${address} as node ${options.node} with uplink address ${uplink}`;
  if (dryRun) return show(json, { dryRun: true, would: what }, () => `would ${what}`);
  const { joinCluster } = await import('../../linux/join.ts');
  const joined = await joinCluster({
    server: address,
    token,
    node: options.node,
    uplinkAddress: uplink,
    stateDir: places.stateDir,
  });
  const answer = { node: joined.node, server: joined.server };
  show(json, answer, () => `this machine is node ${joined.node} of the cluster at ${joined.server}`);
}
