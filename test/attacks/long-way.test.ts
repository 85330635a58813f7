/** The attacks to which the path makes a difference, where packets take the long way: bridge, routing, netfilter. */
import { suitesOfTheWay } from './suites/every.ts';
import { VARIANTS } from './variants.ts';

suitesOfTheWay('atklng', VARIANTS.longWay);
