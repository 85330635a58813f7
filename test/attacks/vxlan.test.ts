/** The attacks on the fence whose nodes send to each other in the tunnel. */
import { everySuite } from './suites/every.ts';
import { VARIANTS } from './variants.ts';

everySuite('atkvxl', VARIANTS.vxlan);
