import type { Mount } from '../../linux/mount-table.ts';
import { findDeadCopies } from './copies.ts';

const OURS = 'sluice-c000000000001';
const DEAD = '0:50';
const LIVE = '0:51';

const mount = (point: string, changes: Partial<Mount> = {}): Mount => ({
  ...{ id: 1, device: DEAD, root: '/', point, readOnly: false, shared: false },
  ...{ type: 'fuse.glusterfs', source: OURS },
  ...changes,
});
const find = (...mounts: Mount[]): ReturnType<typeof findDeadCopies> =>
  findDeadCopies([{ pid: 7, inode: 8, mounts }], OURS, new Set([DEAD]), ['/run/points']);

it('finds what a dead client left, with the directory and the access it had', () => {
  expect(find(mount('/data', { root: '/sub', readOnly: true }))).toEqual([
    { pid: 7, inode: 8, point: '/data', device: DEAD, directory: '/sub', readOnly: true },
  ]);
});

it.each([
  ['is covered by a live one', [mount('/data'), mount('/data', { device: LIVE })]],
  ['bears our name and has another device', [mount('/data', { device: '0:99' })]],
  ['has the device and bears another name', [mount('/data', { source: 'other' })]],
  ['is at a mount point of our own', [mount('/run/points/m1')]],
])('leaves alone what %s', (_, mounts) => {
  expect(find(...mounts)).toEqual([]);
});

it('finds a dead one again that lies on a live one', () => {
  expect(find(mount('/data', { device: LIVE }), mount('/data'))).toHaveLength(1);
});
