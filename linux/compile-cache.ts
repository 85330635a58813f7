/** Node's cache of compiled sources, where bin/sluice has switched it on. */
import { flushCompileCache } from 'node:module';

/** Node itself writes it at its end; a daemon that may be killed writes it once it has started. */
export function saveCompileCache(): void {
  flushCompileCache();
}
