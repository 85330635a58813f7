/** Remembers what a node's kernel settings were before Sluice changed them, so that leaving restores them. */
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import type { Store } from '../store/contract.ts';
import { type NodeAction, nodeSettings } from './node-plan.ts';

const PREFIX = 'settings/';

/** Writes down the present values of the node's own settings that are about to change. First values win. */
export async function rememberSettings(store: Store, actions: readonly NodeAction[]): Promise<void> {
  const own = new Set(nodeSettings().map(({ name }) => name));
  for (const action of actions) {
    if (action.do !== 'setting' || !own.has(action.setting.name)) continue;
    const key = PREFIX + action.setting.name;
    await store.txn({
      compare: [{ key, revision: 0 }],
      put: [{ key, value: readSysctl(action.setting.name) ?? '' }],
    });
  }
}

/** Puts back what was remembered, unless somebody else has changed it since. */
export async function restoreSettings(store: Store): Promise<string[]> {
  const restored: string[] = [];
  for (const { key, value } of (await store.list(PREFIX)).entries) {
    const name = key.slice(PREFIX.length);
    const ours = nodeSettings().find((setting) => setting.name === name)?.value;
    if (readSysctl(name) === ours && typeof value === 'string') {
      writeSysctl(name, value);
      restored.push(name);
    }
    await store.txn({ delete: [key] });
  }
  return restored;
}
