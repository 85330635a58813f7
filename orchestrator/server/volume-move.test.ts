/** Bricks that are to be on another node: where they may go, and when not. */
import type { Ipv4 } from '../../model/addresses.ts';
import type { NodeName } from '../../model/names.ts';
import type { Brick } from '../../model/volume.ts';
import { sampleVolume } from '../../test/support/sample-volume.ts';
import { GIB } from '../../test/support/storage-node.ts';
import { refusal, until } from '../../test/support/switch-world.ts';
import { volumesForEachTest } from '../../test/support/volume-world.ts';
import { movedBricks } from './volume-move.ts';
import type { Place } from './volume-placement.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const volumes = volumesForEachTest(NAMES);
const { create, ask, show, node, audit, tenantToken } = volumes;

const move = (id: string, body: object, as?: Parameters<typeof ask>[3]): ReturnType<typeof ask> =>
  ask('POST', `/${id}/move?waitMs=5000`, body, as);
const nodesOf = ({ volume }: Awaited<ReturnType<typeof show>>): string[] =>
  volume.bricks.map((brick) => brick.node);

describe('moving bricks', () => {
  it('takes them to a node that has nothing of the same, also from one that is dead', async () => {
    const made = await create({ layout: 'replica-3' });
    const { id, coordinator: dead } = made.volume;
    const spare = NAMES.find((name) => !nodesOf(made).includes(name)) ?? '';
    node(dead).silent = true;
    await volumes.pass(4_000);
    await expect(move(id, { from: dead })).rejects.toMatchObject(
      refusal('not_ready', 'how its bricks are is not known'),
    );
    await volumes.pass(12_000);
    await until(async () => (await show(id)).volume.coordinator !== dead && (await show(id)).settled);
    const moved = await move(id, { from: dead });
    expect(nodesOf(moved)).toEqual(nodesOf(made).map((name) => (name === dead ? spare : name)));
    expect(moved.settled).toBe(true);
    expect((await audit()).at(-1)).toMatchObject({ operation: 'volume.move' });
    await expect(move(id, { from: dead })).rejects.toMatchObject(refusal('not_found', 'has nothing of'));
  });

  it('names another coordinator where the node is the coordinator and lives', async () => {
    const { volume } = await create({ layout: 'arbiter' });
    const { volume: after } = await move(volume.id, { from: volume.coordinator });
    expect(after.coordinator).not.toBe(volume.coordinator);
    expect(volume.bricks.map((brick) => brick.node)).toContain(after.coordinator);
  });

  it('is refused where the brick may be the only good copy, or has no place', async () => {
    const single = await create({ name: 'one', layout: 'single' });
    await expect(move(single.volume.id, { from: nodesOf(single)[0] })).rejects.toMatchObject(
      refusal('refused', 'has no other copy'),
    );
    const made = await create({ layout: 'replica-3' });
    const { id, coordinator } = made.volume;
    const [one = '', two = ''] = nodesOf(made).filter((name) => name !== coordinator);
    const attempts: [object, string, string][] = [
      [{ from: one, to: two }, 'refused', `node ${two} is not one with that room`],
      [{ from: one, to: 'x' }, 'refused', 'node x is not one'],
      [{ from: 'x' }, 'not_found', 'node x has nothing'],
      [{}, 'invalid_request', 'from'],
    ];
    for (const [wish, code, said] of attempts)
      await expect(move(id, wish)).rejects.toMatchObject(refusal(code, said));
    const reports: [object, string, string][] = [
      [{ heal: { pending: 3, splitBrain: 0 } }, 'not_ready', 'not the same yet'],
      [{ heal: null }, 'not_ready', 'not the same yet'],
      [{ heal: { pending: 0, splitBrain: 1 } }, 'refused', 'contradict each other'],
      [{ online: nodesOf(made).map((name) => name === one) }, 'not_ready', 'no other copy serves'],
    ];
    for (const [more, code, said] of reports) {
      node(coordinator).more = more;
      await node(coordinator).report();
      await expect(move(id, { from: one })).rejects.toMatchObject(refusal(code, said));
    }
    expect((await show(id)).volume).toEqual(made.volume);
  });

  it('is nothing for tenants', async () => {
    const { volume } = await create();
    const blue = await tenantToken('blue');
    await expect(move(volume.id, { from: 'a' }, blue)).rejects.toMatchObject(refusal('refused'));
  });
});

describe('the place of a brick that is moved', () => {
  const place = (name: string, zone: string, room = 100 * GIB): Place => ({
    ...{ node: name as NodeName, address: '192.0.2.9' as Ipv4, zone: zone as Place['zone'], room },
  });
  const brick = (name: string): Brick => ({
    ...{ node: name as NodeName, address: '192.0.2.9' as Ipv4, role: 'data', bytes: GIB },
  });
  const one = sampleVolume({ layout: 'replica-3', bricks: ['a', 'b', 'c'].map(brick) });
  const chosen = (places: Place[]): string | undefined =>
    movedBricks(one, { from: 'a' as NodeName }, places)[0]?.node;

  it('is in another zone than the other copies, then where most room is', () => {
    const others = [place('b', 'b'), place('c', 'c')];
    expect(chosen([...others, place('d', 'b', 900 * GIB), place('e', 'e', 50 * GIB)])).toBe('e');
    expect(chosen([...others, place('d', 'd', 60 * GIB), place('e', 'e', 50 * GIB)])).toBe('d');
    expect(chosen([...others, place('d', 'b'), place('e', 'e', GIB / 2)])).toBe('d');
    expect(() => chosen([...others, place('a', 'a')])).toThrow('no storage node that can be reached is one');
  });
});
