/** The configuration of this machine: what its file says, and defaults for the rest. */
import { readTextIfThere } from '../linux/files.ts';
import { Config } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';
import type { Places } from './places.ts';

/**
 * The configuration with every default filled in. A file nobody asked for may be missing.
 * @throws SluiceError `invalid_request`, `not_found` (SLUICE_CONFIG names a file that is not there)
 */
export async function loadConfig({ configFile, configNamed }: Places): Promise<Config> {
  const text = readTextIfThere(configFile);
  // The parser costs a daemon memory: only where there is something to parse.
  if (text !== undefined) return (await import('./config-file.ts')).parseConfig(text, configFile);
  if (!configNamed) return Config.parse({});
  throw new SluiceError(
    'not_found',
    `SLUICE_CONFIG names ${configFile}, which is not there`,
    'write it, or unset SLUICE_CONFIG',
  );
}
