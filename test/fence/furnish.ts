/** Fills a fence's maps with the test world. */
import { deleteFromMap, mapEntries, updateMap } from '../../linux/bpf.ts';
import * as maps from '../../tagqueue/maps.ts';
import type { Fence } from './builds.ts';
import { type Case, CONF, KEYS, PORTS } from './world.ts';

/** @param ifindex  the interface whose port a case is about */
export function furnish(fence: Fence, ifindex: number, state: Partial<Case>): void {
  const { port = 'internal', allow = [], epoch = CONF.epoch } = state;
  if (port === 'unbound') deleteFromMap(fence.map('ports'), maps.indexKey(ifindex));
  else updateMap(fence.map('ports'), maps.indexKey(ifindex), maps.encodePort(PORTS[port]));
  updateMap(fence.map('conf'), maps.indexKey(0), maps.encodeConf({ ...CONF, epoch }));
  for (const [known, secret] of KEYS)
    updateMap(fence.map('keys'), maps.indexKey(known), maps.encodeKey(secret));
  for (const [key] of mapEntries(fence.map('ethertypes'))) deleteFromMap(fence.map('ethertypes'), key);
  for (const type of allow)
    updateMap(fence.map('ethertypes'), maps.ethertypeKey(type), maps.ETHERTYPE_ALLOWED);
}
