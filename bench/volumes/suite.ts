/** P8: shared volumes. What the translator costs and how exactly it holds; how long volumes take, and what losses cost. */
import type { Measurement } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { measureClient } from './client.ts';
import { measureCreationOnOne } from './creation.ts';
import { measureOnFour } from './losses.ts';
import { measureMany } from './many.ts';
import { measureTranslator } from './translator.ts';

const PARTS = [measureTranslator, measureCreationOnOne, measureOnFour, measureMany, measureClient];

export async function measureVolumes(context: SuiteContext): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const part of PARTS) measurements.push(...(await part(context)));
  return measurements;
}
