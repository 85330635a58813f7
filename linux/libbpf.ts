/** The functions of libbpf that Sluice uses. Those that return an int return a negative errno on failure. */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';

/** An address in this process; libbpf's objects are opaque to us. */
export type Pointer = bigint;

/** struct bpf_test_run_opts (bpf/bpf.h). */
export interface TestRunOptions {
  sz: number;
  data_in: Uint8Array;
  data_out: Uint8Array;
  data_size_in: number;
  data_size_out: number;
  ctx_in: Uint8Array;
  ctx_out: Uint8Array;
  ctx_size_in: number;
  ctx_size_out: number;
  retval: number;
  repeat: number;
  /** Nanoseconds per run. */
  duration: number;
  flags: number;
  cpu: number;
  batch_size: number;
}

export interface LibBpf {
  readonly testRunOptionsBytes: number;
  /** @returns a descriptor */
  mapCreate(
    type: number,
    name: null,
    keyBytes: number,
    valueBytes: number,
    entries: number,
    options: Uint8Array,
  ): number;
  /** @returns a descriptor */
  programLoad(
    type: number,
    name: null,
    license: string,
    instructions: Uint8Array,
    count: number,
    options: null,
  ): number;
  /** @returns 1: the kernel has it */
  probeHelper(programType: number, helper: number, options: null): number;
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array, flags: number): number;
  mapLookup(fd: number, key: Uint8Array, value: Uint8Array): number;
  mapDelete(fd: number, key: Uint8Array): number;
  mapLookupBatch(
    fd: number,
    from: Uint8Array | null,
    next: Uint8Array,
    keys: Uint8Array,
    values: Uint8Array,
    count: [number],
    options: null,
  ): number;
  mapById(id: number): number;
  programById(id: number): number;
  infoByFd(fd: number, info: Uint8Array, length: [number]): number;
  pin(fd: number, path: string): number;
  openPin(path: string): number;
  testRun(fd: number, options: TestRunOptions): number;
  possibleCpus(): number;
  objectOpen(path: string, options: null): Pointer | null;
  objectLoad(object: Pointer): number;
  objectClose(object: Pointer): void;
  nextProgram(object: Pointer, previous: Pointer | null): Pointer | null;
  programFd(program: Pointer): number;
  nextMap(object: Pointer, previous: Pointer | null): Pointer | null;
  mapName(map: Pointer): string;
  mapFd(map: Pointer): number;
  mapReuse(map: Pointer, fd: number): number;
  setPrint(callback: Pointer | null): Pointer | null;
  ringNew(fd: number, callback: Pointer, context: null, options: null): Pointer | null;
  ringConsume(ring: Pointer): number;
  ringFree(ring: Pointer): void;
}

let loaded: LibBpf | undefined;

/**
 * Loads the library at the first call.
 * @throws SluiceError `kernel_refused` when it is not installed.
 */
export function libbpf(): LibBpf {
  loaded ??= load();
  return loaded;
}

function load(): LibBpf {
  const library = open();
  const testRunOptions = koffi.struct({
    sz: 'size_t',
    data_in: 'const void *',
    data_out: 'void *',
    data_size_in: 'uint32_t',
    data_size_out: 'uint32_t',
    ctx_in: 'const void *',
    ctx_out: 'void *',
    ctx_size_in: 'uint32_t',
    ctx_size_out: 'uint32_t',
    retval: 'uint32_t',
    repeat: 'int',
    duration: 'uint32_t',
    flags: 'uint32_t',
    cpu: 'uint32_t',
    batch_size: 'uint32_t',
  });
  return {
    testRunOptionsBytes: koffi.sizeof(testRunOptions),
    mapCreate: library.func(
      'int bpf_map_create(int, const char *, uint32_t, uint32_t, uint32_t, const void *)',
    ),
    programLoad: library.func(
      'int bpf_prog_load(int, const char *, const char *, const void *, size_t, const void *)',
    ),
    probeHelper: library.func('int libbpf_probe_bpf_helper(int, int, const void *)'),
    mapUpdate: library.func('int bpf_map_update_elem(int, const void *, const void *, uint64_t)'),
    mapLookup: library.func('int bpf_map_lookup_elem(int, const void *, void *)'),
    mapDelete: library.func('int bpf_map_delete_elem(int, const void *)'),
    mapLookupBatch: library.func(
      'int bpf_map_lookup_batch(int, void *, void *, void *, void *, _Inout_ uint32_t *, const void *)',
    ),
    mapById: library.func('int bpf_map_get_fd_by_id(uint32_t)'),
    programById: library.func('int bpf_prog_get_fd_by_id(uint32_t)'),
    infoByFd: library.func('int bpf_obj_get_info_by_fd(int, void *, _Inout_ uint32_t *)'),
    pin: library.func('int bpf_obj_pin(int, const char *)'),
    openPin: library.func('int bpf_obj_get(const char *)'),
    testRun: library.func('bpf_prog_test_run_opts', 'int', [
      'int',
      koffi.inout(koffi.pointer(testRunOptions)),
    ]),
    possibleCpus: library.func('int libbpf_num_possible_cpus()'),
    objectOpen: library.func('void *bpf_object__open_file(const char *, const void *)'),
    objectLoad: library.func('int bpf_object__load(void *)'),
    objectClose: library.func('void bpf_object__close(void *)'),
    nextProgram: library.func('void *bpf_object__next_program(void *, void *)'),
    programFd: library.func('int bpf_program__fd(void *)'),
    nextMap: library.func('void *bpf_object__next_map(void *, void *)'),
    mapName: library.func('const char *bpf_map__name(void *)'),
    mapFd: library.func('int bpf_map__fd(void *)'),
    mapReuse: library.func('int bpf_map__reuse_fd(void *, int)'),
    setPrint: library.func('void *libbpf_set_print(void *)'),
    ringNew: library.func('void *ring_buffer__new(int, void *, void *, const void *)'),
    ringConsume: library.func('int ring_buffer__consume(void *)'),
    ringFree: library.func('void ring_buffer__free(void *)'),
  };
}

function open(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load('libbpf.so.1');
  } catch (error) {
    throw notInstalled(error);
  }
}

function notInstalled(cause: unknown): SluiceError {
  const hint = 'install it: `apt install libbpf1`';
  return new SluiceError('kernel_refused', 'the library libbpf.so.1 cannot be loaded', hint, { cause });
}

/** The symbolic name of a negative errno, such as 'ENOENT'. */
export function errnoName(result: number): string {
  return getSystemErrorName(result);
}

/**
 * Passes a result that is not negative.
 * @param what  completes the sentence 'the kernel refused to …'
 * @throws SluiceError `kernel_refused` with the errno's name.
 */
export function accepted(what: string, result: number): number {
  if (result >= 0) return result;
  throw new SluiceError(
    'kernel_refused',
    `the kernel refused to ${what}: ${errnoName(result)}`,
    'eBPF needs root with CAP_BPF and CAP_NET_ADMIN, and kernel 5.15 or later; see `sluice doctor`',
  );
}
