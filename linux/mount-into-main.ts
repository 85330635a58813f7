/** The program that linux/mount-into.ts starts. */
import { doErrands, readErrands } from './mount-into.ts';

process.stdout.write(JSON.stringify(doErrands(readErrands())));
