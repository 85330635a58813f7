/** Carries out node actions. Every action may be repeated. */
import { addAddress, removeRoute, replaceRoute } from '../linux/addressing.ts';
import { createBridge, ignoring, removeLink, setLinkMtu, setLinkUp } from '../linux/links.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import type { NodeFacts } from './facts.ts';
import { type Kernel, requireLink } from './kernel.ts';
import { bridgeSettings, type NodeAction } from './node-plan.ts';

/** @throws SluiceError at the first refusal: the caller observes and plans again. */
export async function applyNode(
  kernel: Kernel,
  facts: NodeFacts,
  actions: readonly NodeAction[],
): Promise<void> {
  for (const action of actions) await applyOne(kernel, facts, action);
}

async function applyOne({ route }: Kernel, facts: NodeFacts, action: NodeAction): Promise<void> {
  switch (action.do) {
    case 'bridge': {
      const { name, mac, mtu } = action.bridge;
      await ignoring('EEXIST', createBridge(route, name, mac, mtu));
      for (const setting of bridgeSettings(action.bridge))
        if (readSysctl(setting.name) !== undefined) writeSysctl(setting.name, setting.value);
      return;
    }
    case 'bridge-mtu':
      return setLinkMtu(route, (await requireLink(route, action.bridge.name)).index, action.bridge.mtu);
    case 'bridge-up':
      return setLinkUp(route, (await requireLink(route, action.bridge.name)).index);
    case 'bridge-address':
      return addAddress(
        route,
        (await requireLink(route, action.bridge.name)).index,
        action.bridge.gateway,
        action.bridge.block,
      );
    case 'setting':
      return writeSysctl(action.setting.name, action.setting.value);
    case 'route': {
      const { to, via, tunnel, source } = action;
      if (via === undefined) return replaceRoute(route, { to, via, dev: undefined, source });
      const dev = tunnel ?? (await requireLink(route, facts.uplink)).index;
      return replaceRoute(route, { to, via, dev, source, onLink: tunnel !== undefined });
    }
    case 'unroute':
      return removeRoute(route, action.route);
    case 'remove-link':
      return removeLink(route, action.link.index);
  }
}
