/** The program that linux/volume-errands.ts starts. */
import { workForStarter } from './volume-errand-worker.ts';

workForStarter(Number(process.argv[2]));
