import type { Cidr, Ipv4 } from '../model/addresses.ts';
import type { ContainerName, TenantName } from '../model/names.ts';
import { openMemoryStore } from '../store/memory.ts';
import { anEndpoint, WEB } from '../test/support/samples.ts';
import { chooseAddress } from './ipam.ts';
import { openRegistry } from './registry.ts';

const BLOCK = '10.64.0.0/29' as Cidr;
const BLUE = 'blue' as TenantName;
const COOLDOWN_MS = 60_000;

async function aRegistry() {
  const clock = { now: 1_000_000 };
  const store = openMemoryStore();
  const open = () => openRegistry({ store, now: () => clock.now, cooldownMs: COOLDOWN_MS });
  return { clock, store, open, registry: await open() };
}

const name = (text: string) => text as ContainerName;

describe('a registry', () => {
  it('knows after a restart what it knew before', async () => {
    const { registry, open } = await aRegistry();
    await registry.admit(anEndpoint(2, { ports: [WEB] }));
    await registry.advance(anEndpoint(2, { ports: [WEB] }), 'ready');
    const again = await open();
    expect(again.all()).toEqual([anEndpoint(2, { ports: [WEB] })]);
    expect(() => again.checkPorts([WEB])).toThrow(expect.objectContaining({ code: 'port_taken' }));
    expect(again.blockState('internal', BLOCK, BLUE, null).isLive('10.64.0.2' as Ipv4)).toBe(true);
  });

  it('gives a released address again only after its rest, also across a restart', async () => {
    const { registry, open, clock } = await aRegistry();
    await registry.admit(anEndpoint(2));
    await registry.release(anEndpoint(2));
    const resting = (held: Awaited<ReturnType<typeof open>>) =>
      held.blockState('internal', BLOCK, BLUE, null).isCooling('10.64.0.2' as Ipv4);
    expect(resting(registry)).toBe(true);
    expect(resting(await open())).toBe(true);
    clock.now += COOLDOWN_MS;
    expect(resting(registry)).toBe(false);
    expect(resting(await open())).toBe(false);
  });

  it('forgets the rests that are over, so that the store does not grow', async () => {
    const { registry, clock, store } = await aRegistry();
    for (let n = 2; n < 6; n++) {
      await registry.admit(anEndpoint(n));
      await registry.release(anEndpoint(n));
      clock.now += COOLDOWN_MS + 1;
    }
    expect((await store.list('released/')).entries.length).toBe(2);
  });

  it('holds an endpoint’s addresses from the moment it is admitted, before the store has answered', async () => {
    const { registry } = await aRegistry();
    const admitted = registry.admit(anEndpoint(2));
    expect(chooseAddress(registry.blockState('internal', BLOCK, BLUE, null))).toBe('10.64.0.3');
    await admitted;
  });

  it('holds nothing of an endpoint that the store refused', async () => {
    const { registry, store } = await aRegistry();
    await store.close();
    await expect(registry.admit(anEndpoint(2))).rejects.toThrow();
    expect(registry.all()).toEqual([]);
    expect(registry.blockState('internal', BLOCK, BLUE, null).isLive('10.64.0.2' as Ipv4)).toBe(false);
  });

  it('keeps a reserved address for its name and from all others', async () => {
    const { registry, open } = await aRegistry();
    await registry.reserve({ tenant: BLUE, name: name('db'), internal: '10.64.0.4' as Ipv4, external: null });
    for (const held of [registry, await open()]) {
      expect(
        held.blockState('internal', BLOCK, BLUE, name('db')).isReservedForOthers('10.64.0.4' as Ipv4),
      ).toBe(false);
      expect(
        held.blockState('internal', BLOCK, BLUE, name('web')).isReservedForOthers('10.64.0.4' as Ipv4),
      ).toBe(true);
      expect(
        held
          .blockState('internal', BLOCK, 'red' as TenantName, name('db'))
          .isReservedForOthers('10.64.0.4' as Ipv4),
      ).toBe(true);
    }
    await registry.unreserve(BLUE, name('db'));
    expect(
      registry.blockState('internal', BLOCK, BLUE, name('web')).isReservedForOthers('10.64.0.4' as Ipv4),
    ).toBe(false);
    await expect(registry.unreserve(BLUE, name('db'))).rejects.toThrow(
      expect.objectContaining({ code: 'not_found' }),
    );
  });

  it('refuses to reserve one address for two names', async () => {
    const { registry } = await aRegistry();
    const wanted = { tenant: BLUE, internal: '10.64.0.4' as Ipv4, external: null };
    await registry.reserve({ ...wanted, name: name('db') });
    await expect(registry.reserve({ ...wanted, name: name('web') })).rejects.toThrow(
      expect.objectContaining({ code: 'address_taken' }),
    );
  });

  it('lets one port of all addresses exclude the same port of one address, and the other way round', async () => {
    const { registry } = await aRegistry();
    const atOne = { ...WEB, hostIp: '192.0.2.1' as Ipv4 };
    await registry.admit(anEndpoint(2, { ports: [WEB] }));
    expect(() => registry.checkPorts([atOne])).toThrow(/published by container c2/);
    await registry.release(anEndpoint(2, { ports: [WEB] }));
    await registry.admit(anEndpoint(3, { ports: [atOne] }));
    expect(() => registry.checkPorts([WEB])).toThrow(/published by container c3/);
    expect(() => registry.checkPorts([{ ...WEB, hostIp: '192.0.2.9' as Ipv4 }])).not.toThrow();
    expect(() => registry.checkPorts([{ ...WEB, protocol: 'udp' }])).not.toThrow();
  });

  it('never gives two endpoints the same link group', async () => {
    const { registry } = await aRegistry();
    const { containerId, ifName } = anEndpoint(2);
    const first = registry.freeGroup(containerId, ifName);
    await registry.admit(anEndpoint(3, { group: first }));
    expect(registry.freeGroup(containerId, ifName)).not.toBe(first);
  });
});
