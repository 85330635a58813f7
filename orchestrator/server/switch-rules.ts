/** What the server's configuration says of switches: presets, who has to agree, how long one may stay open. */
import type { Config } from '../../model/config.ts';
import { millisecondsOf } from '../../model/duration.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Changes } from '../../model/switch.ts';
import { changesOf } from '../../model/switch-words.ts';

type SwitchConfig = Config['switches'];
type PresetConfig = SwitchConfig['presets'][string];

export interface Preset {
  readonly changes: Changes;
  readonly priority: number;
  /** undefined: whoever opens it says how long. */
  readonly forMs: number | undefined;
}

export interface SwitchRules {
  readonly presets: ReadonlyMap<string, Preset>;
  /** Whether a second person has to agree, for more than so many containers; undefined: nobody has to. */
  readonly approveAbove: number | undefined;
  /** How long one may be open at a stretch. */
  readonly longestMs: number;
}

/** @throws SluiceError `invalid_request` naming the preset and the word that is wrong */
export function switchRules({ presets, approval, approveAbove, longest }: SwitchConfig): SwitchRules {
  return {
    presets: new Map(Object.entries(presets).map(([name, words]) => [name, presetOf(name, words)])),
    approveAbove: approval === 'required' ? approveAbove : undefined,
    longestMs: longest === 0 ? Number.POSITIVE_INFINITY : millisecondsOf(longest),
  };
}

function presetOf(name: string, { lift, set, scale, priority, for: length }: PresetConfig): Preset {
  const pairs = (words: Readonly<Record<string, string | number>>): string[] =>
    Object.entries(words).map(([field, value]) => `${field}=${value}`);
  const forMs = length === undefined ? undefined : millisecondsOf(length);
  try {
    const changes = changesOf({ lift, set: pairs(set), scale: pairs(scale) });
    if (changes !== undefined) return { changes, priority, forMs };
  } catch (cause) {
    const { message, hint } = asSluiceError(cause);
    throw new SluiceError('invalid_request', `switches.presets.${name}: ${message}`, hint, { cause });
  }
  throw new SluiceError(
    'invalid_request',
    `switches.presets.${name} changes nothing`,
    'say something under lift, set or scale',
  );
}
