/** When `auto` may take the other plane: only for a kernel that was built without something. */
import type { BpfAbilities } from '../linux/bpf-abilities.ts';
import { lackOfEbpf } from './ebpf-lack.ts';

const ALL: BpfAbilities = {
  syscall: undefined,
  maps: { LPM_TRIE: undefined, RINGBUF: undefined },
  program: undefined,
  redirect: true,
  fileSystem: true,
  clsact: undefined,
};

describe('lackOfEbpf', () => {
  it('finds nothing where there is everything', () => {
    expect(lackOfEbpf(ALL)).toBeUndefined();
  });

  it.each<[string, Partial<BpfAbilities>]>([
    ['the system call', { syscall: 'ENOSYS', program: 'ENOSYS', redirect: false }],
    ['file system', { fileSystem: false }],
    ['programs on interfaces', { program: 'EINVAL', redirect: false }],
    ['RINGBUF', { maps: { LPM_TRIE: undefined, RINGBUF: 'EINVAL' } }],
    ['redirection', { redirect: false }],
    ['clsact', { clsact: 'ENOENT' }],
    ['clsact', { clsact: 'EOPNOTSUPP' }],
  ])('names what the kernel was built without: %s', (name, abilities) => {
    expect(lackOfEbpf({ ...ALL, ...abilities })).toContain(name);
  });

  it.each<[string, Partial<BpfAbilities>]>([
    ['no rights at all', { syscall: 'EPERM', program: 'EPERM', redirect: false }],
    ['no rights for programs', { program: 'EPERM', redirect: false }],
    ['a kernel that is locked down', { program: 'EACCES', redirect: false }],
    ['no memory', { maps: { RINGBUF: 'ENOMEM' } }],
    ['no rights on interfaces', { clsact: 'EPERM' }],
  ])('does not take it for a lack: %s', (_, abilities) => {
    expect(lackOfEbpf({ ...ALL, ...abilities })).toBeUndefined();
  });
});
