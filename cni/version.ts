/** The versions of the CNI protocol the plugin speaks, and its answer to VERSION. */
import * as z from 'zod';
import { SluiceError } from '../model/errors.ts';

export const CniVersion = z.enum(['0.4.0', '1.0.0', '1.1.0']);
export type CniVersion = z.infer<typeof CniVersion>;

/** Also compiled into relay.c, which answers VERSION itself. */
export const CNI_VERSIONS: readonly CniVersion[] = CniVersion.options;

export const NEWEST_CNI_VERSION: CniVersion = '1.1.0';

/** What VERSION answers (CNI 1.1, 'VERSION Success'). */
export interface VersionResult {
  readonly cniVersion: string;
  readonly supportedVersions: readonly string[];
}

/** @param asked  the version the runtime named; it comes back as it was, supported or not */
export function versionResult(asked: string): VersionResult {
  return { cniVersion: asked, supportedVersions: CNI_VERSIONS };
}

/**
 * @param given  `cniVersion` of a configuration; a missing one means 0.1.0 to the specification
 * @throws SluiceError `incompatible_version`
 */
export function supportedVersion(given: unknown): CniVersion {
  const parsed = CniVersion.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new SluiceError(
    'incompatible_version',
    `cniVersion ${JSON.stringify(given) ?? 'is missing, which'} is not supported`,
    `set cniVersion to one of ${CNI_VERSIONS.join(', ')}`,
  );
}

/** The version to spell an error in: the one a configuration names, however broken the rest of it is. */
export function versionForErrors(stdin: string): string {
  try {
    const { cniVersion } = Object(JSON.parse(stdin)) as { cniVersion?: unknown };
    return typeof cniVersion === 'string' && cniVersion !== '' ? cniVersion : NEWEST_CNI_VERSION;
  } catch {
    return NEWEST_CNI_VERSION;
  }
}
