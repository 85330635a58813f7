/** Turns what a runtime asks for into the endpoint it will get: addresses, names, routes. Decides, and touches nothing. */
import type { AttachRequest, WantedNic } from '../cni/request.ts';
import { type Cidr, cidrContains, type Ipv4, ipv6In, macOfAddress } from '../model/addresses.ts';
import type { Tenant } from '../model/cluster.ts';
import type { Endpoint, Nic, Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeFacts } from './facts.ts';
import { checkRequested, chooseAddress } from './ipam.ts';
import { hostEndName } from './names.ts';
import type { Registry } from './registry.ts';
import type { Reservation } from './reservation.ts';

export interface DesignInput {
  readonly request: AttachRequest;
  readonly tenant: Tenant;
  readonly facts: NodeFacts;
  readonly registry: Registry;
  readonly netnsInode: number;
  /** Unix ms. */
  readonly now: number;
}

export interface Design {
  readonly endpoint: Endpoint;
  /** What to keep for the container's name, where the network is sticky. */
  readonly reservation: Reservation | undefined;
}

/**
 * The two halves of everything. A container whose primary side is internal has its default
 * route there, as its runtime expects, and yet finds the internet: these are more specific.
 */
const TWO_HALVES = ['0.0.0.0/1', '128.0.0.0/1'] as Cidr[];

/** @throws SluiceError when an address or port cannot be had; nothing has been taken then. */
export function designEndpoint(input: DesignInput): Design {
  const { request, tenant, facts, registry } = input;
  const { wishes, containerId, ifName } = request;
  registry.checkPorts(wishes.ports);
  refuseStrayAddresses(request, facts);

  const nics = wishes.nics.map((wanted, position) => designNic(input, wanted, position === 0));
  const endpoint: Endpoint = {
    containerId,
    ifName,
    network: request.network,
    containerName: request.containerName,
    tenant: tenant.tenant,
    tag: tenant.tag,
    phase: 'adding',
    netns: request.netns,
    netnsInode: input.netnsInode,
    group: registry.freeGroup(containerId, ifName),
    nics,
    ports: [...wishes.ports],
    dns: wishes.dns,
    aliases: [...wishes.aliases],
    cgroupPath: wishes.cgroupPath,
    bandwidth: wishes.bandwidth,
    podAnnotations: { ...wishes.podAnnotations },
    app: wishes.app,
    labels: { ...wishes.labels },
    ipv6: wishes.ipv6,
    ...(wishes.views && { views: true }),
    createdAt: input.now,
  };
  return { endpoint, reservation: wishes.sticky ? reservationFor(endpoint) : undefined };
}

function refuseStrayAddresses({ wishes }: AttachRequest, facts: NodeFacts): void {
  for (const address of wishes.ips) {
    if (wishes.nics.some(({ side }) => cidrContains(facts.bridges[side].block, address))) continue;
    const blocks = wishes.nics.map(({ side }) => `${facts.bridges[side].block} (${side})`).join(' and ');
    throw new SluiceError(
      'invalid_request',
      `${address} is in no block of this node`,
      `ask for an address in ${blocks}`,
    );
  }
}

function designNic(input: DesignInput, wanted: WantedNic, primary: boolean): Nic {
  const { request, facts } = input;
  const bridge = facts.bridges[wanted.side];
  const address = addressFor(input, wanted.side);
  return {
    side: wanted.side,
    ifName: wanted.ifName,
    hostIf: hostEndName(facts.node, request.containerId, request.ifName, wanted.side),
    address,
    block: bridge.block,
    gateway: bridge.gateway,
    mac: (primary ? request.wishes.mac : null) ?? macOfAddress(address),
    mtu: bridge.mtu,
    routes: routesFor(facts, wanted.side, primary),
    ...(wanted.side === 'internal' && request.wishes.ipv6 && ipv6For(facts, address)),
  };
}

/** No second allotment: the IPv6 address follows from the IPv4 address. */
function ipv6For({ internalPool6: pool, bridges }: NodeFacts, address: Ipv4): Pick<Nic, 'ipv6'> {
  if (pool === undefined) return {};
  return { ipv6: { address: ipv6In(pool, address), gateway: ipv6In(pool, bridges.internal.gateway), pool } };
}

function addressFor({ request, tenant, facts, registry }: DesignInput, side: Side): Ipv4 {
  const { wishes, containerName } = request;
  const state = registry.blockState(side, facts.bridges[side].block, tenant.tenant, containerName);
  const asked =
    wishes.ips.find((address) => cidrContains(state.block, address)) ?? wishes.staticAddresses[side];
  const kept =
    containerName === null ? undefined : registry.reservation(tenant.tenant, containerName)?.[side];
  const wanted = asked ?? kept ?? undefined;
  if (wanted === undefined) return chooseAddress(state);
  checkRequested(state, wanted);
  return wanted;
}

function routesFor({ internalPool }: NodeFacts, side: Side, primary: boolean): Nic['routes'] {
  const own = side === 'internal' ? [internalPool] : [];
  if (primary) return [...own, 'default'];
  return side === 'external' ? TWO_HALVES : own;
}

function reservationFor({ tenant, containerName, nics }: Endpoint): Reservation | undefined {
  if (containerName === null) return undefined;
  const address = (side: Side): Ipv4 | null => nics.find((nic) => nic.side === side)?.address ?? null;
  return { tenant, name: containerName, internal: address('internal'), external: address('external') };
}
