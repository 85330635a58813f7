/** Remembers what a node's kernel settings were before Sluice changed them, so that leaving restores them. */
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import type { Store } from '../store/contract.ts';
import { type NodeAction, nodeSettings } from './node-plan.ts';

const PREFIX = 'settings/';

/**
 * The kernel sets accept_redirects of all interfaces to the opposite of ip_forward whenever that changes
 * (net/ipv4/devinet.c, inet_forward_change): set back alone, it would leave a hardened machine softer than it was.
 */
const FORWARDING = 'net/ipv4/ip_forward';
const FOLLOWS_FORWARDING = { name: 'net/ipv4/conf/all/accept_redirects', value: '0' };

/** Writes down the present values of the node's own settings that are about to change. First values win. */
export async function rememberSettings(store: Store, actions: readonly NodeAction[]): Promise<void> {
  const own = new Set(nodeSettings().map(({ name }) => name));
  for (const action of actions) {
    if (action.do !== 'setting' || !own.has(action.setting.name)) continue;
    await remember(store, action.setting.name);
    if (action.setting.name === FORWARDING) await remember(store, FOLLOWS_FORWARDING.name);
  }
}

async function remember(store: Store, name: string): Promise<void> {
  const key = PREFIX + name;
  await store.txn({ compare: [{ key, revision: 0 }], put: [{ key, value: readSysctl(name) ?? '' }] });
}

/** Puts back what was remembered, unless somebody else has changed it since. */
export async function restoreSettings(store: Store): Promise<string[]> {
  const { entries } = await store.list(PREFIX);
  const ours = new Map([...nodeSettings(), FOLLOWS_FORWARDING].map(({ name, value }) => [name, value]));
  const settings = entries
    .map(({ key, value }) => ({ name: key.slice(PREFIX.length), value }))
    .filter(({ name }) => readSysctl(name) === ours.get(name))
    // What follows another must be written after it.
    .sort(
      (one, other) =>
        Number(one.name === FOLLOWS_FORWARDING.name) - Number(other.name === FOLLOWS_FORWARDING.name),
    );
  const restored: string[] = [];
  for (const { name, value } of settings) {
    if (typeof value !== 'string') continue;
    writeSysctl(name, value);
    restored.push(name);
  }
  await store.txn({ delete: entries.map(({ key }) => key) });
  return restored;
}
