/** Asks the kernel for each kind of thing that the eBPF plane is made of, and keeps the kernel's own answer: nothing is left behind. */
import { closeSync } from 'node:fs';
import { readTextIfThere } from './files.ts';
import { errnoName, libbpf } from './libbpf.ts';
import { NETLINK_ROUTE, NetlinkError, openNetlink } from './netlink.ts';
import { inScratchNetns } from './scratch-netns.ts';
import { addClsact } from './tc.ts';

/** The symbolic errno of the refusal; undefined: it could be done. */
export type Refusal = string | undefined;

export interface BpfAbilities {
  /** The simplest map, by which the system call shows itself. */
  readonly syscall: Refusal;
  /** Other kinds of maps, by their names in linux/bpf.h. */
  readonly maps: Readonly<Record<string, Refusal>>;
  /** The simplest program for an interface. */
  readonly program: Refusal;
  /** Whether such a program may send a packet on past the host's stack (bpf_redirect_peer, Linux 5.10). */
  readonly redirect: boolean;
  readonly fileSystem: boolean;
  /** Programs on both directions of an interface. */
  readonly clsact: Refusal;
}

/** enum bpf_map_type: with key and value in bytes, entries, and flags. */
const ARRAY = [2, 4, 8, 1, 0] as const;
const MAPS = {
  PERCPU_HASH: [5, 4, 8, 1, 0],
  PERCPU_ARRAY: [6, 4, 8, 1, 0],
  /** Only with BPF_F_NO_PREALLOC. */
  LPM_TRIE: [11, 8, 8, 1, 1],
  /** Entries are bytes, whole pages. */
  RINGBUF: [27, 0, 0, 65_536, 0],
} as const;
const SCHED_CLS = 3;
const REDIRECT_PEER = 155;
/** r0 = 0; exit */
const NOTHING = Buffer.from('b7000000000000009500000000000000', 'hex');
const INSTRUCTION_BYTES = 8;
/** struct bpf_map_create_opts (bpf/bpf.h): its size first. */
const OPTIONS_BYTES = 48;
const MAP_FLAGS_AT = 28;
const LOOPBACK = 1;

/** @throws SluiceError `kernel_refused` when it cannot even be asked: no libbpf, no right to make a network namespace */
export async function tryBpf(): Promise<BpfAbilities> {
  return {
    syscall: tryMap(ARRAY),
    maps: Object.fromEntries(Object.entries(MAPS).map(([name, kind]) => [name, tryMap(kind)])),
    program: refusalOf(
      libbpf().programLoad(SCHED_CLS, null, 'GPL', NOTHING, NOTHING.length / INSTRUCTION_BYTES, null),
    ),
    redirect: libbpf().probeHelper(SCHED_CLS, REDIRECT_PEER, null) === 1,
    fileSystem: /^nodev\tbpf$/m.test(readTextIfThere('/proc/filesystems') ?? ''),
    clsact: await tryClsact(),
  };
}

function tryMap([type, key, value, entries, flags]: readonly [
  number,
  number,
  number,
  number,
  number,
]): Refusal {
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES));
  options.writeUInt32LE(flags, MAP_FLAGS_AT);
  return refusalOf(libbpf().mapCreate(type, null, key, value, entries, options));
}

function refusalOf(fd: number): Refusal {
  if (fd < 0) return errnoName(fd);
  closeSync(fd);
  return undefined;
}

async function tryClsact(): Promise<Refusal> {
  const route = inScratchNetns(() => openNetlink(NETLINK_ROUTE));
  try {
    await addClsact(route, LOOPBACK);
    return undefined;
  } catch (error) {
    if (error instanceof NetlinkError) return error.errno;
    throw error;
  } finally {
    route.close();
  }
}
