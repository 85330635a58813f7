import type { Ipv4 } from '../model/addresses.ts';
import type { NodeName, TenantName, VolumeName } from '../model/names.ts';
import type { Brick, Layout, Volume, VolumeId } from '../model/volume.ts';
import { refusalOf } from './serving.ts';

const node = 'a' as NodeName;

function volume(layout: Layout, count: number): Volume {
  const brick: Brick = { node, address: '192.0.2.1' as Ipv4, role: 'data', bytes: 1 };
  return {
    ...{ id: 'v0123456789ab' as VolumeId, tenant: 'blue' as TenantName, name: 'shared' as VolumeName },
    ...{ phase: 'ready', sizeBytes: 1, inodes: null, layout, thin: false, limits: {}, nodeLimits: {} },
    ...{ hosts: [], coordinator: node, generation: 1, removeAt: null, createdAt: 0 },
    bricks: Array.from({ length: count }, () => brick),
  };
}

/** @param online  a letter for each brick: y or n; undefined: glusterd does not tell */
const refused = (layout: Layout, online: string | undefined, pids: number[] = []): boolean => {
  const told = online?.replaceAll(' ', '');
  const serving = { online: told === undefined ? undefined : [...told].map((one) => one === 'y'), pids };
  return refusalOf(volume(layout, told?.length ?? 1), serving) !== undefined;
};

describe('reading bricks', () => {
  it('is refused while any set of copies can be written to', () => {
    const table: [Layout, string, boolean][] = [
      ['single', 'y', true],
      ['single', 'n', false],
      ['replica-3', 'yny', true],
      ['replica-3', 'nny', false],
      ['two-by-two', 'yn nn', true],
      ['two-by-two', 'ny ny', false],
      ['two-by-two', 'nny nyy', true],
      ['two-by-two', 'nny ynn', false],
    ];
    for (const [layout, online, is] of table) expect([online, refused(layout, online)]).toEqual([online, is]);
  });

  it('is not for the sake of a process that serves a brick nobody can write to', () => {
    expect(refused('replica-3', 'nny', [17])).toBe(false);
  });

  it('is refused while such a process lives and nobody tells who else serves', () => {
    expect(refused('single', undefined)).toBe(false);
    expect(refused('single', undefined, [17])).toBe(true);
    expect(refusalOf(volume('single', 1), { online: undefined, pids: [17, 18] })).toMatchObject({
      ...{ code: 'refused', hint: 'end them first, so that nobody writes: kill 17 18' },
    });
  });
});
