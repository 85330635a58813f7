import { forTenants } from './tenant-words.ts';

it.each([
  [
    'gluster volume create sluice-v0123456789ab 192.0.2.1:/var/lib/sluice/b/v0-0/brick: Host 192.0.2.2 is not connected',
    'gluster volume create sluice-v0123456789ab a storage node:…: Host a storage node is not connected',
  ],
  [
    'cannot connect to 192.0.2.1:24007 (No route to host)',
    'cannot connect to a storage node (No route to host)',
  ],
  [
    "brick 0 on node b: mkfs.xfs of '/srv/pool/v1-0/image' failed",
    "brick 0 on node b: mkfs.xfs of '…' failed",
  ],
  ['the pool has 512 MiB free, and 1024 MiB are needed', 'the pool has … MiB free, and … MiB are needed'],
  ['version 10.3 of it, read and/or written 3 times', 'version 10.3 of it, read and/or written 3 times'],
])('tells of %j what a tenant may know', (said, told) => {
  expect(forTenants(said)).toBe(told);
});
