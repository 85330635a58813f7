/** Errors as the CNI specification spells them, and how a broken schema becomes one of ours. */
import type * as z from 'zod';
import { cniCodeOf, SluiceError } from '../model/errors.ts';

/** CNI 1.1, 'Error'. */
export interface CniError {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

/** @param cniVersion  see `versionForErrors` */
export function cniError(error: SluiceError, cniVersion: string): CniError {
  return { cniVersion, code: cniCodeOf(error.code), msg: error.message, details: error.hint };
}

/** How much of a foreign value an error repeats: enough to recognise it, too little to flood a log. */
const LONGEST_QUOTE = 80;

/** A foreign value inside a message: on one line, without control characters, and short. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= LONGEST_QUOTE ? text : `${text.slice(0, LONGEST_QUOTE)}…`;
}

/**
 * Marks a schema issue as 'understood, but not supported', which has an error code of its own
 * (CNI 1.1, code 2: the message must contain key and value).
 */
export const UNSUPPORTED = { unsupported: true } as const;

/** The first few things that are wrong; a reader corrects those and asks again. */
const MOST_ISSUES = 3;

/** @returns `unsupported_field` or `invalid_network_config`, naming the keys that are wrong */
export function configError(error: z.ZodError, hint: string): SluiceError {
  const first = error.issues[0];
  const unsupported = first?.code === 'custom' && first.params?.['unsupported'] === true;
  const message = error.issues.slice(0, MOST_ISSUES).map(sentence).join('; ');
  return new SluiceError(unsupported ? 'unsupported_field' : 'invalid_network_config', message, hint);
}

function sentence(issue: z.core.$ZodIssue): string {
  const where = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map(quoted).join(', ');
    return `unknown key ${keys}${where === '' ? '' : ` in ${where}`}`;
  }
  return where === '' ? issue.message : `${where}: ${issue.message}`;
}
