/** The attacks on the fence without eBPF: rules at the ports, and every packet between nodes judged in userland. */
import { everySuite } from './suites/every.ts';
import { VARIANTS } from './variants.ts';

everySuite('atknfq', VARIANTS.nfqueue);
