/** Fills a fence's maps with the test world. */
import { deleteFromMap, mapEntries, updateMap } from '../../linux/bpf.ts';
import { pool6ToBytes } from '../../model/addresses.ts';
import { indexOfMark } from '../../model/mark.ts';
import * as maps from '../../tagqueue/maps.ts';
import type { Fence } from './builds.ts';
import {
  type Case,
  CONF,
  KEYS,
  MARK,
  MARK_MASK,
  OTHER_MARK,
  OTHER_TENANT,
  PEER,
  PEER_BLOCK,
  POOL6,
  PORTS,
  TENANT,
} from './world.ts';

/** @param ifindex  the interface whose port a case is about */
export function furnish(fence: Fence, ifindex: number, state: Partial<Case>): void {
  const { port = 'internal', allow = [], epoch = CONF.epoch, carrier = CONF.carrier } = state;
  const dualStack = state.dualStack === true;
  const pool6 = dualStack ? pool6ToBytes(POOL6) : undefined;
  const byIndex = fence.map('ports_by_index');
  if (port === 'unbound') deleteFromMap(byIndex, maps.indexKey(ifindex));
  else updateMap(byIndex, maps.indexKey(ifindex), maps.encodePort({ ...PORTS[port], ifindex, dualStack }));
  updateMap(fence.map('settings'), maps.indexKey(0), maps.encodeConf({ ...CONF, epoch, carrier, pool6 }));
  for (const [tag, mark] of [
    [TENANT, MARK],
    [OTHER_TENANT, OTHER_MARK],
  ] as const) {
    updateMap(fence.map('tenants'), maps.indexKey(indexOfMark(mark, MARK_MASK)), maps.indexKey(tag));
    updateMap(fence.map('marks'), maps.indexKey(tag), maps.indexKey(mark));
  }
  updateMap(fence.map('routes'), maps.blockKey(PEER_BLOCK), maps.encodeRoute(PEER));
  for (const [known, secret] of KEYS)
    updateMap(fence.map('keys'), maps.indexKey(known), maps.encodeKey(secret));
  for (const [key] of mapEntries(fence.map('ethertypes'))) deleteFromMap(fence.map('ethertypes'), key);
  for (const type of allow)
    updateMap(fence.map('ethertypes'), maps.ethertypeKey(type), maps.ETHERTYPE_ALLOWED);
}
