/** netd's side of storaged.sock, against a storaged that is nothing but its routes. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { localClient } from '../../linux/api-client.ts';
import { type LocalApi, serveLocal } from '../../linux/local-api.ts';
import type { Route } from '../../linux/local-routes.ts';
import { type Log, silentLog } from '../../model/log.ts';
import { NodeMounts, UNLIMITED_VOLUME } from '../../model/mount-limits.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import type { VolumeKeeper } from '../../qos/contract.ts';
import { SimulatedStoraged } from '../../test/support/simulated-storaged.ts';
import { storagedRoutes } from '../../test/support/storaged-routes.ts';
import { followVolumes } from './volume-keeper.ts';

const BLUE = 'blue' as TenantName;
const RATES = { ...UNLIMITED_VOLUME, 'volume.read': 20_000_000, 'volume.writeOps': 50 };

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-volumes-'));
const socket = path.join(directory, 'storaged.sock');
const client = localClient(socket, { timeoutMs: 2_000 });
const stopping = new AbortController();
const warned: string[] = [];
const log: Log = { ...silentLog, warn: (_fields, message) => void warned.push(message) };

const storaged = new SimulatedStoraged();
const mount = storaged.mount(1, 'c1' as ContainerId);
let api: LocalApi | undefined;
let keeper: VolumeKeeper;
let news = 0;

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 5_000; !holds(); ) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

beforeAll(() => {
  keeper = followVolumes(client, stopping.signal, () => (news += 1), log);
});
afterAll(async () => {
  stopping.abort();
  client.close();
  await api?.close();
  fs.rmSync(directory, { recursive: true });
});

describe('mounts as netd hears of them', () => {
  it('are none where there is no storaged, and nothing is said of it', async () => {
    await expect(keeper.read()).rejects.toMatchObject({ code: 'unreachable' });
    expect([keeper.told(), keeper.answers(), news, warned]).toEqual([undefined, false, 0, []]);
  });

  it('are heard of when it comes, and with everything that changes', async () => {
    api = await serveLocal(socket, storagedRoutes(storaged), silentLog);
    await until('it is there', () => keeper.answers());
    expect(keeper.told()).toEqual(NodeMounts.parse(await storaged.keeper.read()));
    const before = keeper.told();
    expect(keeper.told()).toBe(before);
    storaged.mount(2, 'c2' as ContainerId, RATES, { 'volume.write': 5_000_000 });
    await until('the second is heard of', () => keeper.told()?.mounts.length === 2);
    expect(keeper.told()?.mounts[1]).toMatchObject({ held: RATES, limits: { 'volume.write': 5_000_000 } });
    expect(news).toBeGreaterThanOrEqual(2);
  });

  it('take limits, and tell what they hold by then', async () => {
    expect(await keeper.apply(mount, RATES)).toEqual({ held: RATES, shortfalls: [] });
    expect((await keeper.read()).mounts[0]?.held).toEqual(RATES);
    await keeper.applyShare(BLUE, RATES);
    expect((await keeper.read()).shares).toEqual([{ tenant: BLUE, held: RATES }]);
    storaged.refuses.add(mount);
    await expect(keeper.apply(mount, UNLIMITED_VOLUME)).rejects.toMatchObject({ code: 'storage_failed' });
    const none = 'm99' as typeof mount;
    await expect(keeper.apply(none, RATES)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('are remembered while it is away, and followed again when it is back', async () => {
    await api?.close();
    await until('it is gone', () => !keeper.answers());
    expect(keeper.told()?.mounts).toHaveLength(2);
    await expect(keeper.apply(mount, RATES)).rejects.toMatchObject({ code: 'unreachable' });
    storaged.mounts.delete(mount);
    storaged.tell();
    api = await serveLocal(socket, storagedRoutes(storaged), silentLog);
    await until('it is heard of again', () => keeper.told()?.mounts.length === 1);
    expect(keeper.answers()).toBe(true);
  });

  it('are left as they are when a storaged says what nobody understands, which is said once', async () => {
    await api?.close();
    let asked = 0;
    const nonsense = async function* (): AsyncGenerator<unknown> {
      asked += 1;
      yield { mounts: 'many' };
    };
    const route: Route = { method: 'GET', path: '/v1/mounts', handle: () => ({ stream: nonsense() }) };
    api = await serveLocal(socket, [route], silentLog);
    await until('it has tried again', () => asked >= 3);
    expect([keeper.answers(), keeper.told()?.mounts.length, warned.length]).toEqual([false, 1, 1]);
  });
});
