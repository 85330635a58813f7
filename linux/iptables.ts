/**
 * Own chains in iptables, for the one thing that nftables cannot do on every kernel: NFQUEUE. Programs are executed,
 * so this is for set-up and removal only.
 */
import { SluiceError } from '../model/errors.ts';
import { openNftables } from './nft.ts';
import { type Argv, run } from './process.ts';

export type IptablesTable = 'raw' | 'mangle';
export type IptablesHook = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

/** A chain of ours, and the built-in chain that jumps to it before everything else. */
export interface OwnChain {
  readonly table: IptablesTable;
  readonly hook: IptablesHook;
  /** At most 28 characters (linux/netfilter/x_tables.h, XT_EXTENSION_MAXNAMELEN). */
  readonly name: string;
  /** As iptables(8) wants them behind `-A CHAIN`. */
  readonly rules: readonly string[];
}

export interface IptablesOptions {
  /** What the programs are started through, such as nsenter into another network namespace. */
  readonly through?: readonly string[];
}

const LONGEST_NAME = 28;
/** iptables-nft is what Debian and Ubuntu have behind `iptables`; legacy tables work beside it. */
const BACKENDS = ['iptables-nft', 'iptables-legacy', 'iptables'] as const;
/** The kernel tells by this exit code that the table's lock is taken (iptables(8), -w waits instead). */
const WAIT = ['-w', '5'] as const;

/**
 * Makes the chains what they should be and puts the jumps to them first; each table changes in one step. Repeating it
 * is no error.
 * @throws SluiceError `kernel_refused` with what iptables said
 */
export async function applyChains(chains: readonly OwnChain[], options: IptablesOptions = {}): Promise<void> {
  const backend = await findBackend(options);
  for (const [table, own] of byTable(chains)) {
    const present = await save(backend, table, options);
    await restore(backend, restoreScript(table, own, present), options);
  }
}

/**
 * Takes chains away, with every jump to them. Those that are not there are no error.
 * @returns whether there were any
 * @throws SluiceError `kernel_refused` with what iptables said
 */
export async function removeChains(
  chains: readonly Pick<OwnChain, 'table' | 'name'>[],
  options: IptablesOptions = {},
): Promise<boolean> {
  const backend = await findBackend(options).catch(() => undefined);
  if (backend === undefined) return false;
  let found = false;
  for (const [table, own] of byTable(chains)) {
    const names = own.map(({ name }) => name);
    const script = removalScript(table, names, await save(backend, table, options));
    if (script === undefined) continue;
    found = true;
    await restore(backend, script, options);
  }
  return found;
}

/**
 * Takes away what iptables-nft leaves of a table that was used once: built-in chains without rules. With them or
 * without, packets fare the same, and the next use makes them again. In the current network namespace.
 */
export function removeEmptyTable(table: IptablesTable): void {
  const nft = openNftables();
  try {
    const objects = nft.list(`table ip ${table}`);
    const isEmpty = objects?.every(
      ({ metainfo, table: itself, chain }) =>
        metainfo !== undefined ||
        itself !== undefined ||
        (chain as { readonly policy?: string } | undefined)?.policy === 'accept',
    );
    if (isEmpty === true) nft.apply(`remove the empty table ${table}`, `delete table ip ${table}`);
  } finally {
    nft.close();
  }
}

/** @returns whether every chain has as many rules as it should, and the jump to it stands first. */
export async function chainsStand(
  chains: readonly OwnChain[],
  options: IptablesOptions = {},
): Promise<boolean> {
  const backend = await findBackend(options);
  for (const [table, own] of byTable(chains)) {
    const lines = await save(backend, table, options);
    const stands = ({ hook, name, rules }: OwnChain): boolean =>
      lines.find((line) => line.startsWith(`-A ${hook} `)) === jump(hook, name) &&
      lines.filter((line) => line.startsWith(`-A ${name} `)).length === rules.length;
    if (!own.every(stands)) return false;
  }
  return true;
}

/** @param present  lines of iptables-save for this table */
export function restoreScript(
  table: IptablesTable,
  chains: readonly OwnChain[],
  present: readonly string[],
): string {
  for (const { name } of chains)
    if (name.length > LONGEST_NAME) throw new RangeError(`${name} is too long for a chain`);
  return script(table, [
    // With --noflush a chain that is declared is emptied, or made.
    ...chains.map(({ name }) => `:${name} - [0:0]`),
    ...chains.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${rule}`)),
    ...chains.flatMap(({ name }) => jumpsTo([name], present).map(removal)),
    ...chains.map(({ hook, name }) => jump(hook, name).replace('-A', '-I')),
  ]);
}

/** @returns undefined when there is nothing to remove. */
export function removalScript(
  table: IptablesTable,
  names: readonly string[],
  present: readonly string[],
): string | undefined {
  const there = names.filter((name) => present.some((line) => line.startsWith(`:${name} `)));
  if (there.length === 0) return undefined;
  return script(table, [
    ...jumpsTo(there, present).map(removal),
    ...there.map((name) => `-F ${name}`),
    ...there.map((name) => `-X ${name}`),
  ]);
}

function script(table: IptablesTable, lines: readonly string[]): string {
  return `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
}

function jump(hook: IptablesHook, name: string): string {
  return `-A ${hook} -j ${name}`;
}

function jumpsTo(names: readonly string[], present: readonly string[]): string[] {
  return present.filter(
    (line) => line.startsWith('-A ') && names.some((name) => line.endsWith(`-j ${name}`)),
  );
}

function removal(rule: string): string {
  return rule.replace('-A', '-D');
}

function byTable<T extends Pick<OwnChain, 'table'>>(chains: readonly T[]): Map<IptablesTable, T[]> {
  return Map.groupBy(chains, ({ table }) => table);
}

async function findBackend(options: IptablesOptions): Promise<string> {
  for (const backend of BACKENDS) {
    const works = await run(argv(options, `${backend}-save`, '-t', 'mangle'), {}).catch(() => undefined);
    if (works?.code === 0) return backend;
  }
  throw new SluiceError(
    'kernel_refused',
    'no iptables works here: neither iptables-nft nor iptables-legacy',
    'install the package iptables; the NFQUEUE plane needs it',
  );
}

async function save(backend: string, table: IptablesTable, options: IptablesOptions): Promise<string[]> {
  const { code, stdout, stderr } = await run(argv(options, `${backend}-save`, '-t', table));
  if (code !== 0) throw refused(`read table ${table}`, stderr);
  return stdout.split('\n').map((line) => line.trim());
}

async function restore(backend: string, text: string, options: IptablesOptions): Promise<void> {
  const { code, stderr } = await run(argv(options, `${backend}-restore`, '--noflush', ...WAIT), {
    stdin: text,
  });
  if (code !== 0) throw refused('change its chains', stderr);
}

function argv({ through = [] }: IptablesOptions, program: string, ...args: readonly string[]): Argv {
  const [first, ...rest] = [...through, program, ...args];
  return [first ?? program, ...rest];
}

function refused(what: string, said: string): SluiceError {
  return new SluiceError(
    'kernel_refused',
    `iptables refused to ${what}: ${said.trim().slice(-500)}`,
    'see `iptables-save` and `sluice doctor`',
  );
}
