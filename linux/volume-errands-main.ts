/** The program that linux/volume-errands.ts starts. */
import { doErrands, readErrands } from './volume-errands.ts';

process.stdout.write(JSON.stringify(doErrands(readErrands())));
