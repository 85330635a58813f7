/** Tries what a node asks of its kernel, in a network namespace made for it, where nothing of the machine is touched. */
import { loadObject } from '../../linux/bpf-object.ts';
import { type Conntrack, openConntrack } from '../../linux/conntrack.ts';
import { createBridge, createVeth, findLink } from '../../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../../linux/netlink.ts';
import { type Netns, openNetns } from '../../linux/netns.ts';
import { type Nftables, openNftables } from '../../linux/nft.ts';
import { inScratchNetns } from '../../linux/scratch-netns.ts';
import { addClsact } from '../../linux/tc.ts';
import type { Cidr, Ipv4, Mac } from '../../model/addresses.ts';
import { asSluiceError } from '../../model/errors.ts';
import { DEFAULT_MARK_MASK } from '../../model/mark.ts';
import type { IfName } from '../../model/names.ts';
import { rulesetScript } from '../../netd/ruleset.ts';
import type { Feature } from './facts.ts';

interface Scratch {
  readonly route: Netlink;
  readonly conntrack: Conntrack;
  readonly nft: Nftables;
  readonly netns: Netns;
}

const BRIDGE = 'sluice-br' as IfName;
const VETH = 'sluice-veth' as IfName;
const MAC = '02:5c:00:00:00:01' as Mac;
const MTU = 1_500;
/** Addresses for documentation (RFC 5737). */
const POOL = '198.51.100.0/24' as Cidr;
const ADDRESS = '198.51.100.1' as Ipv4;
const PORT = 7070;

/** @param object  the compiled eBPF programs */
export async function tryFeatures(object: string): Promise<Feature[]> {
  let scratch: Scratch;
  try {
    scratch = inScratchNetns(openScratch);
  } catch (error) {
    return [{ name: 'netns', what: 'network namespaces', error: asSluiceError(error).message }];
  }
  try {
    return [
      await attempt('bridge', 'bridges', () => createBridge(scratch.route, BRIDGE, MAC, MTU)),
      await attempt('veth', 'veth pairs', () => makeVeth(scratch)),
      await attempt('clsact', 'eBPF programs on interfaces (clsact)', () => makeClsact(scratch)),
      await attempt('nft', 'NAT and published ports (nftables)', () => makeTable(scratch)),
      await attempt('conntrack', 'connection tracking by netlink', () =>
        scratch.conntrack.forgetSentTo(ADDRESS, 'tcp', PORT),
      ),
      await attempt('bpf', 'the programs of the fence (eBPF)', () => loadObject(object)[Symbol.dispose]()),
    ];
  } finally {
    scratch.netns[Symbol.dispose]();
    for (const handle of [scratch.nft, scratch.conntrack, scratch.route]) handle.close();
  }
}

function openScratch(): Scratch {
  return {
    route: openNetlink(NETLINK_ROUTE),
    conntrack: openConntrack(),
    nft: openNftables(),
    netns: openNetns('/proc/thread-self/ns/net'),
  };
}

async function attempt(name: string, what: string, step: () => unknown): Promise<Feature> {
  try {
    await step();
    return { name, what, error: undefined };
  } catch (error) {
    return { name, what, error: asSluiceError(error).message };
  }
}

async function makeVeth({ route, netns }: Scratch): Promise<void> {
  const bridge = await findLink(route, BRIDGE);
  const ends = {
    hostIf: VETH,
    hostMac: MAC,
    peerIf: 'sluice-peer' as IfName,
    peerMac: '02:5c:00:00:00:02' as Mac,
  };
  await createVeth(route, { ...ends, mtu: MTU, master: bridge?.index ?? 0, group: 1, peerNetnsFd: netns.fd });
}

async function makeClsact({ route }: Scratch): Promise<void> {
  const link = (await findLink(route, VETH)) ?? (await findLink(route, BRIDGE));
  await addClsact(route, link?.index ?? 0);
}

/** The very table of a node: every kind of rule it needs is in it. */
function makeTable({ nft }: Scratch): void {
  const names = {
    table: 'sluice_doctor',
    internalBridge: BRIDGE,
    externalBridge: BRIDGE,
    externalMac: MAC,
    uplink: VETH,
  };
  const addresses = { internalPool: POOL, internalBlock: POOL, externalBlock: POOL };
  nft.apply(
    'make a table',
    rulesetScript(
      {
        ...names,
        ...addresses,
        services: [{ protocol: 'tcp', address: ADDRESS, port: PORT }],
        markMask: DEFAULT_MARK_MASK,
      },
      [],
    ),
  );
}
