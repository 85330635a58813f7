/** `sluice cluster`: what holds for all nodes. */
import type { Argv } from 'yargs';
import { CarrierChoice, type ClusterSettings, effectiveCarrier } from '../../model/cluster.ts';
import { ClusterSnapshot, viewOf } from '../../model/cluster-changes.ts';
import { show } from '../output.ts';
import { change } from './change.ts';
import { withServer } from './clients.ts';
import { changing, type Root, server } from './options.ts';

const PATH = '/v1/cluster';

export function cluster(yargs: Root): Argv {
  return server(yargs)
    .command(
      'show',
      'Show the settings that all nodes follow',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const { revision, snapshot } = (await client.request('GET', PATH)) as {
            revision: number;
            snapshot: ClusterSnapshot;
          };
          const view = viewOf(revision, ClusterSnapshot.parse(snapshot));
          const { nodes, tenants, settings } = view;
          const carried = { ...settings, effectiveCarrier: effectiveCarrier(view) };
          const answer = { ...carried, nodes: nodes.size, tenants: tenants.size };
          show(flags.json, answer, () => textOf(answer));
        }),
    )
    .command(
      'set',
      'Change a setting while the cluster runs',
      (y) =>
        changing(y).option('carrier', {
          choices: CarrierChoice.options,
          demandOption: true,
          describe:
            'How tags travel between nodes; auto: vxlan where an uplink is a network card, else option',
        }),
      (flags) =>
        change<ClusterSettings>(flags, {
          method: 'PATCH',
          path: PATH,
          body: { carrier: flags.carrier },
          what: `set the carrier to ${flags.carrier}`,
          json: (settings) => settings,
          text: ({ carrier }) => `the carrier is ${carrier}`,
        }),
    )
    .demandCommand(1, 'say what to do with the cluster');
}

interface Shown extends ClusterSettings {
  readonly effectiveCarrier: string;
  readonly nodes: number;
  readonly tenants: number;
}

function textOf(shown: Shown): string {
  const carrier = shown.carrier === 'auto' ? `auto, which is ${shown.effectiveCarrier} here` : shown.carrier;
  const lines = [
    ['internal pool', shown.internalPool],
    ['external pool', shown.externalPool],
    ...(shown.internalPool6 === undefined ? [] : [['internal IPv6', shown.internalPool6] as const]),
    ['block', `/${shown.blockPrefix}`],
    ['carrier', carrier],
    ['nodes', String(shown.nodes)],
    ['tenants', String(shown.tenants)],
  ] as const;
  return lines.map(([name, value]) => `${name.padEnd(13)}  ${value}`).join('\n');
}
