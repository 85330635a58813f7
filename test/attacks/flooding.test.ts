/** A14 with eBPF: red floods a node with a million of everything, and blue goes on as if nothing were. */
import { flooding } from './suites/flooding.ts';
import { worldForFile } from './world.ts';

flooding(worldForFile('atkflod'));
