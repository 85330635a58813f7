import type { Ipv4 } from '../model/addresses.ts';
import { slowedScript } from './request-limits.ts';

const a = '10.80.0.2' as Ipv4;
const b = '10.80.0.3' as Ipv4;

it('changes what differs, and leaves alone who stays', () => {
  const present = new Map([[a, 50]]);
  expect(slowedScript('t', present, new Map([[a, 50]]))).toBe('');
  expect(slowedScript('t', present, new Map([[b, 7]])).split('\n')).toEqual([
    'delete element ip t_flows slowed { 10.80.0.2 }',
    'add element ip t_flows slowed { 10.80.0.3 limit rate over 7/second burst 1 packets }',
    '',
  ]);
});

it('replaces an element whose rate is another', () => {
  expect(slowedScript('t', new Map([[a, 50]]), new Map([[a, 20]])).split('\n')).toHaveLength(3);
});
