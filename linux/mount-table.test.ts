import { parseMounts } from './mount-table.ts';

it('reads what the kernel lists, with and without optional fields', () => {
  const text = `71 27 0:40 / /tmp/a\\040b ro,nosuid - fuse.lxcfs sluice-views-a ro,user_id=0
28 1 8:1 / /proc rw shared:5 master:2 - proc proc rw
`;
  expect(parseMounts(text)).toEqual([
    {
      ...{ id: 71, device: '0:40', root: '/', point: '/tmp/a b', readOnly: true, shared: false },
      ...{ type: 'fuse.lxcfs', source: 'sluice-views-a' },
    },
    {
      ...{ id: 28, device: '8:1', root: '/', point: '/proc', readOnly: false, shared: true },
      ...{ type: 'proc', source: 'proc' },
    },
  ]);
});
