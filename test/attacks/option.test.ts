/** The attacks on the fence as it stands by default: eBPF, tags in an IPv4 option, packets past bridge and routing. */
import { everySuite } from './suites/every.ts';
import { VARIANTS } from './variants.ts';

everySuite('atkopt', VARIANTS.option);
