/** Which port is whose in the plane without eBPF: the bridge table of tagqueue/nfqueue/port-rules.ts, written and read. */
import { interfaceIndex } from '../../linux/libc.ts';
import { type Nftables, openNftables } from '../../linux/nft.ts';
import { Cidr, Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { largestIndex, type Mark, type MarkMask, markOf } from '../../model/mark.ts';
import type { TenantTag } from '../../model/names.ts';
import { type BlockRoute, type PortBinding, UNLIMITED } from '../maps.ts';
import type { PortPlane } from '../port-binding.ts';
import { BLOCKS, bindScript, blockElement, portOf, SENDERS, unbindScript } from './port-rules.ts';

/**
 * Opens the plane in the current network namespace. The kernel remembers everything, so it may be opened in several
 * processes, but only one may write.
 * @throws SluiceError `try_again` when the table is not there (any more)
 */
export function openNfqueuePorts(table: string, markMask: MarkMask, flows = false): PortPlane {
  const nft = openNftables();
  const rules = { table, markMask };
  if (nft.list(`set bridge ${table} ${BLOCKS}`) === undefined) {
    nft.close();
    throw new SluiceError(
      'try_again',
      "the node's plane has just been replaced",
      'ask tagqueue for it again',
    );
  }
  const marks = createMarks(markMask);
  const list = (): Map<number, PortBinding> => listPorts(nft, table);
  return {
    programs: undefined,
    shaping: undefined,
    flows,
    bind(port, name): void {
      const present = list();
      const mark = marks.markFor(port.tag, [...present.values()]);
      const bound = { ...port, mark, ...UNLIMITED };
      const script = bindScript(rules, bound, name, present.has(port.ifindex));
      nft.apply(`bind port ${port.ifindex}`, script);
    },
    unbind(ifindex): void {
      if (list().has(ifindex)) nft.apply(`unbind port ${ifindex}`, unbindScript(rules, ifindex));
    },
    read: (ifindex) => list().get(ifindex),
    list,
    forgetTenants: () => undefined, // a mark is a tenant's as long as he has a port
    routes: () => listBlocks(nft, table),
    setRoute(block, route): void {
      const known = listBlocks(nft, table).has(block);
      const remove = known ? blockElement(rules, 'delete', block) : '';
      nft.apply(`set block ${block}`, remove + blockElement(rules, 'add', block, route));
    },
    dropRoute(block): void {
      if (listBlocks(nft, table).has(block))
        nft.apply(`drop block ${block}`, blockElement(rules, 'delete', block));
    },
    [Symbol.dispose]: () => nft.close(),
  };
}

/** The bindings that the kernel remembers. Empty when the table is not there. */
export function listPorts(nft: Nftables, table: string): Map<number, PortBinding> {
  return new Map(
    commented(nft, `map bridge ${table} ${SENDERS}`, 'map').flatMap(({ key, comment }) => {
      // An interface that exists is listed by its name.
      const ifindex = interfaceIndex(String(key)) ?? Number(key);
      const port = portOf(ifindex, comment);
      return port === undefined || Number.isNaN(ifindex) ? [] : [[ifindex, port] as const];
    }),
  );
}

/** Where the blocks of the other nodes are. Empty when the table is not there. */
export function listBlocks(nft: Nftables, table: string): Map<Cidr, BlockRoute> {
  return new Map(
    commented(nft, `set bridge ${table} ${BLOCKS}`, 'set').flatMap(({ key, comment }) => {
      const [network, prefix] = (key as { readonly concat?: readonly unknown[] }).concat ?? [];
      const block = Cidr.safeParse(`${network}/${prefix}`);
      const [node, nextHop] = comment.split(' ').map((word) => Ipv4.safeParse(word).data);
      if (!block.success || node === undefined || nextHop === undefined) return [];
      return [[block.data, { node, nextHop }] as const];
    }),
  );
}

/** Elements with a comment (libnftables-json(5)); of a map only their keys. */
function commented(
  nft: Nftables,
  object: string,
  kind: 'map' | 'set',
): { readonly key: unknown; readonly comment: string }[] {
  const listed = (nft.list(object) ?? []).find((one) => one[kind] !== undefined)?.[kind] as
    | { readonly elem?: readonly unknown[] }
    | undefined;
  return (listed?.elem ?? []).flatMap((entry) => {
    const { elem } = (Array.isArray(entry) ? entry[0] : entry) as {
      readonly elem?: { readonly val: unknown; readonly comment?: string };
    };
    return elem?.comment === undefined ? [] : [{ key: elem.val, comment: elem.comment }];
  });
}

interface Marks {
  /** @throws SluiceError `limited` */
  markFor(tag: TenantTag, present: readonly PortBinding[]): Mark;
}

/**
 * A tenant's mark is that of his ports; a new one is taken in turn. The workers at the uplink learn of a binding a moment
 * after it was made, and until then a mark must not mean to them a tenant who had it just before.
 */
function createMarks(mask: MarkMask): Marks {
  let last = 0;
  return {
    markFor(tag, present): Mark {
      const own = present.find((port) => port.tag === tag);
      if (own !== undefined) return own.mark;
      const taken = new Set(present.map(({ mark }) => mark));
      for (let tries = largestIndex(mask); tries > 0; tries--) {
        last = (last % largestIndex(mask)) + 1;
        const mark = markOf(last, mask);
        if (!taken.has(mark)) return mark;
      }
      throw new SluiceError(
        'limited',
        `this node has ${taken.size} tenants, as many as the packet mark can tell apart`,
        'give network.markMask more bits, or place the tenant elsewhere',
      );
    },
  };
}
