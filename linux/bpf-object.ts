/** Loads a compiled eBPF object file into the kernel through libbpf. */
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';
import { type BpfMap, type BpfProgram, mapById, mapOfFd, programById, programOfFd } from './bpf.ts';
import { errnoName, libbpf, type Pointer } from './libbpf.ts';

const vsnprintf = koffi.load('libc.so.6').func('int vsnprintf(void *, size_t, const void *, void *)');

/** The programs and maps of an object file, by their names in it. They outlive the file. */
export interface LoadedObject extends Disposable {
  readonly programs: ReadonlyMap<string, BpfProgram>;
  readonly maps: ReadonlyMap<string, BpfMap>;
}

/** libbpf's levels: 0 warn, 1 info, 2 debug. The verifier's log comes as a warning. */
const WARN = 0;
/** A verifier's complaint stands at the end of its log. */
const LOG_TAIL_BYTES = 4096;
/** The longest log libbpf asks the verifier for; a page that is not written to costs nothing. */
const LOG_BYTES = 1 << 24;
/** The verifier gives up with EAGAIN when a signal arrives; libbpf itself repeats only five times. */
const LOAD_TRIES = 5;

/**
 * @param reuse  maps to use instead of new ones of the same name; their layout must be the object's
 * @throws SluiceError `kernel_refused` with the end of the verifier's log.
 */
export function loadObject(path: string, reuse: ReadonlyMap<string, BpfMap> = new Map()): LoadedObject {
  for (let tries = 1; ; tries++) {
    const { result, errno, log } = withLog(() => tryLoad(path, reuse));
    if (result !== undefined) return result;
    if (tries < LOAD_TRIES && (errno === 'EAGAIN' || errno === 'EINTR')) continue;
    throw new SluiceError(
      'kernel_refused',
      `cannot load the eBPF object ${path}: ${errno}\n${log.slice(-LOG_TAIL_BYTES).trim()}`,
      'Sluice needs root, kernel 5.15 or later with CONFIG_BPF_SYSCALL, and an object built by set-up',
    );
  }
}

type Attempt =
  | { readonly result: LoadedObject; readonly errno: '' }
  | { readonly result: undefined; readonly errno: string };

function tryLoad(path: string, reuse: ReadonlyMap<string, BpfMap>): Attempt {
  const object = libbpf().objectOpen(path, null);
  if (object === null) return { result: undefined, errno: errnoName(-koffi.errno()) };
  try {
    for (const map of mapsIn(object)) {
      const existing = reuse.get(libbpf().mapName(map));
      const refused = existing === undefined ? 0 : libbpf().mapReuse(map, existing.fd);
      if (refused < 0) return { result: undefined, errno: errnoName(refused) };
    }
    const refused = libbpf().objectLoad(object);
    if (refused < 0) return { result: undefined, errno: errnoName(refused) };
    return { result: takeOver(object), errno: '' };
  } finally {
    libbpf().objectClose(object);
  }
}

/** libbpf closes its descriptors with the object: we open our own, by id. */
function takeOver(object: Pointer): LoadedObject {
  const programs = new Map<string, BpfProgram>();
  const maps = new Map<string, BpfMap>();
  for (const pointer of programsIn(object)) {
    const program = programById(programOfFd(libbpf().programFd(pointer)).id);
    if (program !== undefined) programs.set(program.name, program);
  }
  for (const pointer of mapsIn(object)) {
    const map = mapById(mapOfFd(libbpf().mapFd(pointer)).id);
    if (map !== undefined) maps.set(map.name, map);
  }
  return {
    programs,
    maps,
    [Symbol.dispose]: () => {
      for (const opened of [...programs.values(), ...maps.values()]) opened[Symbol.dispose]();
    },
  };
}

function* programsIn(object: Pointer): Generator<Pointer> {
  let program = libbpf().nextProgram(object, null);
  for (; program !== null; program = libbpf().nextProgram(object, program)) yield program;
}

function* mapsIn(object: Pointer): Generator<Pointer> {
  let map = libbpf().nextMap(object, null);
  for (; map !== null; map = libbpf().nextMap(object, map)) yield map;
}

/** Collects what libbpf would print to stderr while `run` is under way. */
function withLog(run: () => Attempt): Attempt & { readonly log: string } {
  const line = Buffer.allocUnsafeSlow(LOG_BYTES);
  let log = '';
  // A va_list is handed on as it came: on x86-64 and arm64 it is passed as a pointer.
  const print = koffi.register(
    (level: number, format: Pointer, list: Pointer): number => {
      if (level !== WARN) return 0;
      const length: number = vsnprintf(line, line.length, format, list);
      log += line.toString('utf8', 0, Math.min(length, line.length - 1));
      return 0;
    },
    koffi.pointer(koffi.proto('int', ['int', 'const void *', 'void *'])),
  );
  libbpf().setPrint(print);
  try {
    return { ...run(), log };
  } finally {
    libbpf().setPrint(null);
    koffi.unregister(print);
  }
}
