/** A14 with eBPF: red floods a node with a million of everything, and blue goes on as if nothing were. */
import { exhaustion, SLOW } from './suites/exhaustion.ts';
import { flooding } from './suites/flooding.ts';
import { VARIANTS } from './variants.ts';
import { worldForFile } from './world.ts';

const world = worldForFile('atkflod', { ...VARIANTS.option, config: SLOW });
// First: floods of living flows leave red none to begin.
exhaustion(world);
flooding(world);
