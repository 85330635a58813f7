/** Where the rates of this node are held: its shapers, its ports, and what is on record of them. */
import { findLink } from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import { addClsact } from '../linux/tc.ts';
import {
  addClassFilter,
  addRedirect,
  listClassFilters,
  redirectedTo,
  removeClassFilter,
  removeRedirect,
} from '../linux/tc-u32.ts';
import type { Mac } from '../model/addresses.ts';
import type { Side } from '../model/endpoint.ts';
import type { NodeName } from '../model/names.ts';
import type { BoundPort, RateDirection, RateSite, ShaperLinks } from '../qos/rates/site.ts';
import type { PortBinding } from '../tagqueue/maps.ts';
import type { PortPlane, PortShaping } from '../tagqueue/port-binding.ts';
import type { NodeFacts } from './facts.ts';
import { shaperNames } from './names.ts';
import type { Registry } from './registry.ts';

/** How ports are led through their classes; by the programs, or without them by filters of tc. */
type Leading = Pick<RateSite, 'shaper' | 'ports' | 'lead' | 'forget'>;

type Facts = Pick<NodeFacts, 'node' | 'bridges'>;

/**
 * Asks anew at every call: the plane may be replaced.
 * @param plane  undefined until tagqueue has told where it is: then there are no shapers
 * @param route  in the node's network namespace
 */
export function rateSiteOf(
  plane: () => PortPlane | undefined,
  facts: () => Facts | undefined,
  registry: Pick<Registry, 'all'>,
  route: Netlink,
): RateSite {
  const now = (): Leading => {
    const [present, node] = [plane(), facts()?.node];
    if (present === undefined || node === undefined) return NOBODY;
    return present.shaping === undefined
      ? byFilters(route, node, present)
      : byPrograms(present, present.shaping);
  };
  return {
    shaper: (side) => now().shaper(side),
    ports: () => now().ports(),
    lead: (ifindex, direction, minor) => now().lead(ifindex, direction, minor),
    forget: (id, minor) => now().forget(id, minor),
    known: () =>
      registry
        .all()
        .flatMap(({ tenant, nics }) => nics.map(({ hostIf, side }) => ({ hostIf, side, tenant }))),
    mtu: (side: Side) => facts()?.bridges[side].mtu ?? 1_500,
  };
}

const NOBODY: Leading = {
  shaper: () => Promise.resolve(undefined),
  ports: () => Promise.resolve(new Map()),
  lead: () => Promise.resolve(),
  forget: () => Promise.resolve(),
};

function byPrograms(plane: PortPlane, shaping: PortShaping): Leading {
  const boundPort = ({ side, inClass, outClass }: PortBinding): BoundPort => ({
    side,
    classes: { in: inClass, out: outClass },
  });
  return {
    shaper: async (side) => shaping.shaper(side),
    ports: async () => new Map([...plane.list()].map(([ifindex, port]) => [ifindex, boundPort(port)])),
    lead: async (ifindex, direction, minor) =>
      shaping.setClasses(ifindex, direction === 'in' ? { inClass: minor } : { outClass: minor }),
    forget: () => Promise.resolve(),
  };
}

/** Stands for a class that does not exist: the port is led to where nothing takes it on, and is shut. */
const ASTRAY = 0xffff;
const AT = { in: 'egress', out: 'ingress' } as const;
const WHOSE = { in: 'destination', out: 'source' } as const;

/**
 * A filter at the host end sends what bears the container's MAC address off to an interface of kind ifb, where a
 * filter by the same address finds its class; from there it comes back to where it was. What a container sends with
 * another address stays where it is, and is refused there.
 */
function byFilters(route: Netlink, node: NodeName, plane: PortPlane): Leading {
  const shaper = async (side: Side): Promise<ShaperLinks | undefined> => {
    const names = shaperNames(node, side);
    const links = { out: await findLink(route, names.out), in: await findLink(route, names.in) };
    if (links.out?.kind !== 'ifb' || links.in?.kind !== 'ifb') return undefined;
    return { out: links.out.index, in: links.in.index };
  };
  return {
    shaper,
    async ports(): Promise<Map<number, BoundPort>> {
      const led = {
        internal: await filtersOf(route, await shaper('internal')),
        external: await filtersOf(route, await shaper('external')),
      };
      const found = new Map<number, BoundPort>();
      for (const [ifindex, { side, mac }] of plane.list()) {
        const classOf = async (direction: RateDirection): Promise<number> => {
          const to = await redirectedTo(route, ifindex, AT[direction]);
          const filters = led[side]?.[direction];
          if (to === undefined) return 0;
          return (to === filters?.ifindex ? filters.classes.get(mac) : undefined) ?? ASTRAY;
        };
        found.set(ifindex, { side, classes: { in: await classOf('in'), out: await classOf('out') } });
      }
      return found;
    },
    async lead(ifindex, direction, minor): Promise<void> {
      const port = plane.read(ifindex);
      await removeRedirect(route, ifindex, AT[direction]);
      if (minor === 0 || port === undefined) return;
      const links = await shaper(port.side);
      if (links === undefined) return;
      await addClassFilter(route, links[direction], minor, WHOSE[direction], port.mac);
      await addClsact(route, ifindex);
      await addRedirect(route, ifindex, AT[direction], port.mac, links[direction]);
    },
    async forget({ side, direction }, minor): Promise<void> {
      const links = await shaper(side);
      if (links !== undefined) await removeClassFilter(route, links[direction], minor);
    },
  };
}

interface Filters {
  readonly ifindex: number;
  readonly classes: ReadonlyMap<Mac, number>;
}

async function filtersOf(
  route: Netlink,
  links: ShaperLinks | undefined,
): Promise<Readonly<Record<RateDirection, Filters>> | undefined> {
  const of = async (ifindex: number): Promise<Filters> => ({
    ifindex,
    classes: await listClassFilters(route, ifindex),
  });
  return links && { in: await of(links.in), out: await of(links.out) };
}
