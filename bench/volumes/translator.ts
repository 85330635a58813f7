/** The rows of the IO translator: on a Gluster of its own in namespaces, with one brick in memory. */

import { oneBrick } from '../../test/support/one-brick.ts';
import type { Measurement } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { ACCURACY_IDS, measureAccuracy, measureTwo } from './accuracy.ts';
import { measureOff, OFF_IDS } from './off.ts';

/** Of what every volume has (docs/gluster.md), that which lies on an operation's way. */
const ON_THE_WAY = {
  'performance.write-behind': 'off',
  'performance.strict-o-direct': 'on',
  'performance.quick-read': 'off',
  'performance.open-behind': 'off',
  'performance.client-io-threads': 'off',
};

export async function measureTranslator(context: SuiteContext): Promise<Measurement[]> {
  const off = OFF_IDS.filter((id) => context.wanted.has(id));
  const accuracy = ACCURACY_IDS.filter((id) => context.wanted.has(id));
  const two = context.wanted.has('P8.two');
  if (off.length + accuracy.length === 0 && !two) return [];
  context.progress('starting Gluster with one brick in memory');
  await using brick = await oneBrick();
  await brick.runOk('gluster', '--mode=script', 'volume', 'set', 'v', ...Object.entries(ON_THE_WAY).flat());
  const measurements: Measurement[] = [];
  if (off.length > 0) measurements.push(...(await measureOff(off, brick, context)));
  for (const id of accuracy) measurements.push(...(await measureAccuracy(id, brick, context)));
  if (two) measurements.push(await measureTwo(brick, context));
  return measurements;
}
