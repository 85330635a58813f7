/**
 * Keeps the interfaces through which limited ports lead: beside each bridge a pair, with a tree of rates at either end
 * (docs/rates.md). What containers send goes into its out end and comes out of its in end, a port of the bridge, for
 * what must take the long way; what they receive goes the other way.
 */
import { addHtb } from '../linux/htb.ts';
import {
  createIfb,
  createLocalPair,
  findLink,
  ignoring,
  type Link,
  muteBridgePort,
  removeLink,
  setLinkMaster,
  setLinkMtu,
  setLinkUp,
} from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import { addClsact, attachProgram, listPrograms } from '../linux/tc.ts';
import type { Side } from '../model/endpoint.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import type { NodeFacts } from './facts.ts';
import { requireLink } from './kernel.ts';
import { shaperNames } from './names.ts';

type End = 'out' | 'in';
type Ends<T> = Readonly<Record<End, T>>;
const ENDS: readonly End[] = ['out', 'in'];
/** What comes out of an end has gone into the other. */
const PROGRAM = { out: 'shaped_in', in: 'shaped_out' } as const;

export interface WantedShaper {
  /** Index of the side's bridge. */
  readonly bridge: number;
  /** The bridge's: it takes over the smallest of its ports. */
  readonly mtu: number;
  /** Kernel ids of the programs. */
  readonly programs: Ends<number>;
}

export interface ObservedShaper {
  readonly links: Ends<Pick<Link, 'index' | 'kind' | 'peerIndex' | 'mtu' | 'master' | 'up'> | undefined>;
  readonly programs: Ends<number | undefined>;
  /** What the plane goes by. */
  readonly known: Ends<number> | undefined;
}

export type ShaperAction =
  | { readonly do: 'remove'; readonly index: number }
  | { readonly do: 'create' }
  | { readonly do: 'mtu'; readonly end: End }
  | { readonly do: 'fence'; readonly end: End }
  | { readonly do: 'port' }
  | { readonly do: 'raise'; readonly end: End }
  | { readonly do: 'tell' };

/** In the order of doing: nothing can flow before tree and program are there. */
export function planShaper(wanted: WantedShaper, { links, programs, known }: ObservedShaper): ShaperAction[] {
  const pair = links.out?.kind === 'veth' && links.in !== undefined && links.out.peerIndex === links.in.index;
  if (!pair)
    return [
      ...ENDS.flatMap((end): ShaperAction[] => {
        const link = links[end];
        return link === undefined ? [] : [{ do: 'remove', index: link.index }];
      }),
      { do: 'create' },
      ...ENDS.map((end): ShaperAction => ({ do: 'fence', end })),
      { do: 'port' },
      ...ENDS.map((end): ShaperAction => ({ do: 'raise', end })),
      { do: 'tell' },
    ];
  const each = (act: 'mtu' | 'fence' | 'raise', isWrong: (end: End) => boolean): ShaperAction[] =>
    ENDS.filter(isWrong).map((end) => ({ do: act, end }));
  const told = ENDS.every((end) => known?.[end] === links[end]?.index);
  return [
    ...each('mtu', (end) => links[end]?.mtu !== wanted.mtu),
    ...each('fence', (end) => programs[end] !== wanted.programs[end]),
    ...(links.in?.master === wanted.bridge ? [] : [{ do: 'port' } as const]),
    ...each('raise', (end) => links[end]?.up !== true),
    ...(told ? [] : [{ do: 'tell' } as const]),
  ];
}

/**
 * @returns whether anything had to be done
 * @throws SluiceError `kernel_refused`: ports that are to be limited are shut then
 */
export async function keepShaper(
  route: Netlink,
  { programs, shaping }: PortPlane,
  { node, bridges }: NodeFacts,
  side: Side,
): Promise<boolean> {
  const names = shaperNames(node, side);
  const links = { out: await findLink(route, names.out), in: await findLink(route, names.in) };
  if (programs === undefined || shaping === undefined)
    return keepIfbs(route, names, links, bridges[side].mtu);
  const wanted: WantedShaper = {
    bridge: (await requireLink(route, bridges[side].name)).index,
    mtu: bridges[side].mtu,
    programs: { out: programs[PROGRAM.out].id, in: programs[PROGRAM.in].id },
  };
  const attached = { out: await programAt(route, links.out), in: await programAt(route, links.in) };
  const observed = { links, programs: attached, known: shaping.shaper(side) };
  const actions = planShaper(wanted, observed);
  const index = async (end: End): Promise<number> => (await requireLink(route, names[end])).index;
  for (const action of actions) {
    switch (action.do) {
      case 'remove':
        await removeLink(route, action.index);
        break;
      case 'create':
        await create(route, names, wanted.mtu);
        break;
      case 'mtu':
        await setLinkMtu(route, await index(action.end), wanted.mtu);
        break;
      case 'fence':
        await fence(route, await index(action.end), programs[PROGRAM[action.end]].fd, PROGRAM[action.end]);
        break;
      case 'port':
        await setLinkMaster(route, await index('in'), wanted.bridge);
        await muteBridgePort(route, await index('in'));
        break;
      case 'raise':
        await setLinkUp(route, await index(action.end));
        break;
      case 'tell':
        shaping.setShaper(side, { out: await index('out'), in: await index('in') });
    }
  }
  return actions.length > 0;
}

/** Without programs: two devices that give back what filters send to them (netd/rate-site.ts). */
async function keepIfbs(
  route: Netlink,
  names: Ends<IfName>,
  links: ObservedShaper['links'],
  mtu: number,
): Promise<boolean> {
  const wrong = ENDS.filter((end) => links[end]?.kind !== 'ifb' || !links[end].up);
  for (const end of wrong) {
    const link = links[end];
    if (link !== undefined) await removeLink(route, link.index);
  }
  for (const end of wrong) {
    await createIfb(route, names[end], mtu);
    await addHtb(route, (await requireLink(route, names[end])).index);
  }
  return wrong.length > 0;
}

async function programAt(route: Netlink, link: Link | undefined): Promise<number | undefined> {
  if (link === undefined) return undefined;
  return (await listPrograms(route, link.index)).find(({ direction }) => direction === 'ingress')?.programId;
}

async function create(route: Netlink, names: Ends<IfName>, mtu: number): Promise<void> {
  await ignoring('EEXIST', createLocalPair(route, { names: [names.out, names.in], mtu }));
  for (const name of [names.out, names.in]) {
    // Else the kernel would look for neighbours there, and each question would enter the bridge.
    const setting = `net/ipv6/conf/${name}/disable_ipv6`;
    if (readSysctl(setting) !== undefined) writeSysctl(setting, '1');
  }
}

async function fence(route: Netlink, ifindex: number, programFd: number, name: string): Promise<void> {
  await addHtb(route, ifindex);
  await addClsact(route, ifindex);
  await attachProgram(route, { ifindex, direction: 'ingress', programFd, name: `sluice_${name}` });
}
