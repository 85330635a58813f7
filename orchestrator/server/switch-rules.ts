/** What the server's configuration says of switches: presets, who has to agree, how long one may stay open. */
import type { Config } from '../../model/config.ts';
import { millisecondsOf } from '../../model/duration.ts';
import { SluiceError } from '../../model/errors.ts';
import { fieldHint, fieldsNamed } from '../../model/limits-tree.ts';
import { parseLimit } from '../../model/quantity.ts';
import { type Change, Changes } from '../../model/switch.ts';

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

function presetOf(name: string, words: PresetConfig): Preset {
  try {
    return {
      changes: changesOf(words),
      priority: words.priority,
      forMs: words.for === undefined ? undefined : millisecondsOf(words.for),
    };
  } catch (cause) {
    const { message, hint } = cause as SluiceError;
    throw new SluiceError('invalid_request', `switches.presets.${name}: ${message}`, hint, { cause });
  }
}

function changesOf({ lift, set, scale }: PresetConfig): Changes {
  const said = [
    ...lift.map((word) => [word, (): Change => ({ do: 'lift' })] as const),
    ...Object.entries(set).map(
      ([word, value]) =>
        [
          word,
          (field: Parameters<typeof parseLimit>[0]): Change => ({
            do: 'set',
            value: parseLimit(field, value),
          }),
        ] as const,
    ),
    ...Object.entries(scale).map(
      ([word, factor]) => [word, (): Change => ({ do: 'scale', factor })] as const,
    ),
  ];
  const pairs = said.flatMap(([word, changeOf]) => {
    const fields = fieldsNamed(word);
    if (fields.length === 0)
      throw new SluiceError('invalid_request', `there is no limit ${word}`, fieldHint(word));
    return fields.map((field) => [field, changeOf(field)] as const);
  });
  const twice = pairs.find(([field], i) => pairs.findIndex(([other]) => other === field) !== i);
  if (twice !== undefined)
    throw new SluiceError('invalid_request', `${twice[0]} is named twice`, 'one word for each field');
  const parsed = Changes.safeParse(Object.fromEntries(pairs));
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map(({ path, message }) => [...path, message].join(' '));
  throw new SluiceError('invalid_request', why.join('; '), 'docs/switches.md says what a preset may say');
}
