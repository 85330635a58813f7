/** Loads an object of eBPF programs into this kernel, and prints their names: `plane.ts OBJECT`. */
import { loadObject } from '../../../linux/bpf-object.ts';

using loaded = loadObject(process.argv[2] ?? 'build/fence.bpf.o');
process.stdout.write(`${JSON.stringify([...loaded.programs.keys()])}\n`);
