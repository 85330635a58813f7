/** Takes a node's plane down: the uplink is free again, and nothing is left in the kernel or on disk. */
import { listPins, removePins, unmountBpffs } from '../linux/bpffs.ts';
import { removeIfThere } from '../linux/files.ts';
import { removeChains, removeEmptyTable } from '../linux/iptables.ts';
import { listLinks } from '../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { detachProgram, listPrograms, removeIdleClsact } from '../linux/tc.ts';
import type { NodeName } from '../model/names.ts';
import { collectFromPins, collectFromTable, type LastCollection } from './accounts/open.ts';
import { GUARD_CHAIN } from './guard/chain.ts';
import { rulesFileOf } from './guard/role.ts';
import { PROGRAM_NAMES } from './maps.ts';
import { fenceTable } from './nfqueue/names.ts';
import { removeNfqueuePlane } from './nfqueue/plane.ts';
import { tcNameOf } from './observe.ts';
import { bpffsOf, pinDirectoryOf } from './pins.ts';
import { settingsFileOf } from './settings.ts';

/**
 * Call it when the node's containers and its tagqueue are gone: ports lose their programs too. Repeating it is no error.
 * @returns false when nothing of it was there
 * @throws SluiceError `kernel_refused`; `store_failed` when the last of what was counted could not be written down
 */
export async function removePlane(node: NodeName, runDir: string, stateDir: string): Promise<boolean> {
  try {
    const last = { stateDir, leftover: false };
    const programs = await removeEbpfPlane(node, runDir, () =>
      collectFromPins(pinDirectoryOf(runDir, node), last),
    );
    const rules = await removeRules(node, last);
    const guard = await removeGuard(stateDir);
    return programs || rules || guard;
  } finally {
    removeIfThere(settingsFileOf(stateDir));
  }
}

/**
 * Takes the programs and maps away, and leaves what the node knows of the cluster.
 * @param settle  called when nothing is counted any more, and the counters are still there
 * @returns false when there were none
 * @throws SluiceError `kernel_refused`
 */
export async function removeEbpfPlane(
  node: NodeName,
  runDir: string,
  settle: () => void = () => undefined,
): Promise<boolean> {
  let found = listPins(pinDirectoryOf(runDir, node)).length > 0;
  const route = openNetlink(NETLINK_ROUTE);
  try {
    for (const { index } of await listLinks(route)) found = (await detachOurs(route, index)) || found;
  } finally {
    route.close();
  }
  try {
    settle();
  } finally {
    removePins(pinDirectoryOf(runDir, node));
    if (listPins(bpffsOf(runDir)).length === 0) unmountBpffs(bpffsOf(runDir));
  }
  return found;
}

async function removeRules(node: NodeName, last: LastCollection): Promise<boolean> {
  let found = false;
  try {
    collectFromTable(fenceTable(node), last);
  } finally {
    found = await removeNfqueuePlane(node);
  }
  return found;
}

/** The guard is both planes'. @returns whether its chain was there */
async function removeGuard(stateDir: string): Promise<boolean> {
  removeIfThere(rulesFileOf(stateDir));
  const found = await removeChains([GUARD_CHAIN]);
  if (found) removeEmptyTable(GUARD_CHAIN.table);
  return found;
}

/** @returns whether there was anything of ours. */
async function detachOurs(route: Netlink, ifindex: number): Promise<boolean> {
  const programs = await listPrograms(route, ifindex);
  const ours = programs.filter(({ name }) => PROGRAM_NAMES.some((one) => tcNameOf(one) === name));
  for (const { direction } of ours) await detachProgram(route, ifindex, direction);
  if (ours.length > 0) await removeIdleClsact(route, ifindex);
  return ours.length > 0;
}
