/** What a kernel lacks of eBPF, told from what it merely refuses: rights, memory, a program that the verifier does not believe. Pure. */
import type { BpfAbilities, Refusal } from '../linux/bpf-abilities.ts';

/** With these the kernel says that it does not know the thing at all. */
const UNKNOWN: Readonly<Record<'syscall' | 'kind' | 'qdisc', readonly string[]>> = {
  syscall: ['ENOSYS'],
  kind: ['EINVAL', 'ENOSYS'],
  qdisc: ['ENOENT', 'EOPNOTSUPP'],
};

/** @returns the first thing that this kernel was built without, for people; undefined: it has all, or does not let us see */
export function lackOfEbpf(abilities: BpfAbilities): string | undefined {
  const { syscall, maps, program, redirect, fileSystem, clsact } = abilities;
  if (isUnknown('syscall', syscall)) return 'the system call bpf (CONFIG_BPF_SYSCALL)';
  // Who may not even make a map cannot know what there is.
  if (syscall !== undefined) return undefined;
  if (!fileSystem) return 'the bpf file system';
  if (isUnknown('kind', program)) return 'eBPF programs on interfaces (CONFIG_NET_CLS_BPF)';
  for (const [name, refusal] of Object.entries(maps))
    if (isUnknown('kind', refusal)) return `eBPF maps of the kind ${name}`;
  if (program === undefined && !redirect) return 'redirection by eBPF programs (Linux 5.10)';
  return isUnknown('qdisc', clsact) ? 'the qdisc clsact (CONFIG_NET_SCH_INGRESS)' : undefined;
}

function isUnknown(what: keyof typeof UNKNOWN, refusal: Refusal): boolean {
  return refusal !== undefined && UNKNOWN[what].includes(refusal);
}
