/** eBPF maps and programs by file descriptor: look-ups, updates, pins, ids and test runs. */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { accepted, errnoName, libbpf } from './libbpf.ts';

/** An open map. It lives in the kernel at least until it is disposed of. */
export interface BpfMap extends Disposable {
  readonly fd: number;
  readonly id: number;
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
}

/** An open program. It lives in the kernel at least until it is disposed of. */
export interface BpfProgram extends Disposable {
  readonly fd: number;
  readonly id: number;
  readonly name: string;
  /** The kernel's digest of its instructions, in hex. */
  readonly tag: string;
  readonly mapIds: readonly number[];
}

/** Offsets in struct bpf_map_info and struct bpf_prog_info (linux/bpf.h). */
const MAP_INFO = { bytes: 80, id: 4, keySize: 8, valueSize: 12, maxEntries: 16, name: 24 } as const;
const PROGRAM_INFO = { bytes: 80, id: 4, tag: 8, mapCount: 52, mapIds: 56, name: 64 } as const;
const TAG_BYTES = 8;
const NAME_BYTES = 16;
/** A program may use more, ours use a dozen. */
const MOST_MAPS = 64;
/** Of `bpf_map_update_elem` (linux/bpf.h): only if there is no such entry. */
const BPF_NOEXIST = 1;

function infoOf(fd: number, info: Buffer): void {
  accepted('describe an eBPF object', libbpf().infoByFd(fd, info, [info.length]));
}

function nameAt(info: Buffer, at: number): string {
  const name = info.subarray(at, at + NAME_BYTES);
  return name.subarray(0, (name.indexOf(0) + NAME_BYTES + 1) % (NAME_BYTES + 1)).toString();
}

/** Takes over a file descriptor of a map. */
export function mapOfFd(fd: number): BpfMap {
  const info = Buffer.alloc(MAP_INFO.bytes);
  infoOf(fd, info);
  return {
    fd,
    id: info.readUInt32LE(MAP_INFO.id),
    name: nameAt(info, MAP_INFO.name),
    keyBytes: info.readUInt32LE(MAP_INFO.keySize),
    valueBytes: info.readUInt32LE(MAP_INFO.valueSize),
    maxEntries: info.readUInt32LE(MAP_INFO.maxEntries),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** Takes over a file descriptor of a program. */
export function programOfFd(fd: number): BpfProgram {
  const info = Buffer.alloc(PROGRAM_INFO.bytes);
  const ids = new Uint32Array(MOST_MAPS);
  info.writeUInt32LE(ids.length, PROGRAM_INFO.mapCount);
  info.writeBigUInt64LE(koffi.address(ids), PROGRAM_INFO.mapIds);
  infoOf(fd, info);
  return {
    fd,
    id: info.readUInt32LE(PROGRAM_INFO.id),
    name: nameAt(info, PROGRAM_INFO.name),
    tag: info.toString('hex', PROGRAM_INFO.tag, PROGRAM_INFO.tag + TAG_BYTES),
    mapIds: [...ids.subarray(0, info.readUInt32LE(PROGRAM_INFO.mapCount))],
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** A descriptor that may be missing: ENOENT is an answer, everything else a refusal. */
function present(what: string, result: number): number | undefined {
  return result < 0 && errnoName(result) === 'ENOENT' ? undefined : accepted(what, result);
}

/** @returns undefined when no map has this id (any more). */
export function mapById(id: number): BpfMap | undefined {
  const fd = present(`open map ${id}`, libbpf().mapById(id));
  return fd === undefined ? undefined : mapOfFd(fd);
}

/** @returns undefined when no program has this id (any more). */
export function programById(id: number): BpfProgram | undefined {
  const fd = present(`open program ${id}`, libbpf().programById(id));
  return fd === undefined ? undefined : programOfFd(fd);
}

/** @returns undefined when nothing is pinned there. */
export function pinnedMap(path: string): BpfMap | undefined {
  const fd = present(`open the map ${path}`, libbpf().openPin(path));
  return fd === undefined ? undefined : mapOfFd(fd);
}

/** @returns undefined when nothing is pinned there. */
export function pinnedProgram(path: string): BpfProgram | undefined {
  const fd = present(`open the program ${path}`, libbpf().openPin(path));
  return fd === undefined ? undefined : programOfFd(fd);
}

/** Gives an object a name in a bpf file system, which keeps it alive. The name must be free. */
export function pin(object: BpfMap | BpfProgram, path: string): void {
  accepted(`pin ${object.name} as ${path}`, libbpf().pin(object.fd, path));
}

/** Sets one entry, whether it was there or not: about a microsecond, nothing is executed. */
export function updateMap(map: BpfMap, key: Uint8Array, value: Uint8Array): void {
  checkSize(map, 'key', key, map.keyBytes);
  checkSize(map, 'value', value, map.valueBytes);
  accepted(`update the map ${map.name}`, libbpf().mapUpdate(map.fd, key, value, 0));
}

/** Makes an entry of a per-CPU hash with zeros on every CPU; one that is there keeps what it has counted. */
export function openCounters(map: BpfMap, key: Uint8Array): void {
  checkSize(map, 'key', key, map.keyBytes);
  const zeros = Buffer.alloc(perCpuBytes(map));
  const result = libbpf().mapUpdate(map.fd, key, zeros, BPF_NOEXIST);
  if (result === 0 || errnoName(result) !== 'EEXIST') accepted(`update the map ${map.name}`, result);
}

/** CPUs that the machine may ever have: per-CPU maps have a value for each. */
export function possibleCpus(): number {
  return accepted('count the CPUs', libbpf().possibleCpus());
}

/** @returns the entry's value, or undefined when there is no such entry. */
export function lookupMap(map: BpfMap, key: Uint8Array): Buffer | undefined {
  return lookup(map, key, map.valueBytes);
}

/** @returns whether the entry was there. */
export function deleteFromMap(map: BpfMap, key: Uint8Array): boolean {
  checkSize(map, 'key', key, map.keyBytes);
  return present(`delete from the map ${map.name}`, libbpf().mapDelete(map.fd, key)) !== undefined;
}

/** The sum over all CPUs of a per-CPU array's 64-bit counter. */
export function sumPerCpu(map: BpfMap, index: number): bigint {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  const values = lookup(map, key, 8 * possibleCpus());
  let sum = 0n;
  for (let at = 0; values && at < values.length; at += 8) sum += values.readBigUInt64LE(at);
  return sum;
}

function lookup(map: BpfMap, key: Uint8Array, bytes: number): Buffer | undefined {
  checkSize(map, 'key', key, map.keyBytes);
  const value = Buffer.alloc(bytes);
  const found = present(`read the map ${map.name}`, libbpf().mapLookup(map.fd, key, value));
  return found === undefined ? undefined : value;
}

/** The kernel reads and writes as many bytes as the map says, whatever we pass. */
function checkSize(map: BpfMap, what: string, bytes: Uint8Array, wanted: number): void {
  if (bytes.length !== wanted)
    throw new RangeError(`the map ${map.name} has a ${what} of ${wanted} bytes, not ${bytes.length}`);
}

/** All entries of a hash or array map. One that changes while it is read may be missed or come twice. */
export function mapEntries(map: BpfMap): [key: Buffer, value: Buffer][] {
  return readEntries(map, map.valueBytes);
}

/**
 * All entries of a per-CPU hash, each with the values of all CPUs one behind the other. An entry that is there
 * all the time is never missed.
 */
export function perCpuEntries(map: BpfMap): [key: Buffer, values: Buffer][] {
  return readEntries(map, perCpuBytes(map));
}

/** The kernel takes and gives each CPU's value in full 8 bytes (kernel/bpf/syscall.c, bpf_map_value_size). */
function perCpuBytes(map: BpfMap): number {
  return Math.ceil(map.valueBytes / 8) * 8 * possibleCpus();
}

function readEntries(map: BpfMap, valueBytes: number): [key: Buffer, value: Buffer][] {
  const batch = Math.min(map.maxEntries, 1024);
  const found: [Buffer, Buffer][] = [];
  let from: Buffer | null = null;
  for (;;) {
    const keys = Buffer.alloc(batch * map.keyBytes);
    const values = Buffer.alloc(batch * valueBytes);
    const next = Buffer.alloc(Math.max(4, map.keyBytes));
    const count: [number] = [batch];
    const result = libbpf().mapLookupBatch(map.fd, from, next, keys, values, count, null);
    const more = present(`read the map ${map.name}`, result);
    for (let i = 0; i < count[0]; i++)
      found.push([slice(keys, i, map.keyBytes), slice(values, i, valueBytes)]);
    if (more === undefined) return found;
    from = next;
  }
}

function slice(bytes: Buffer, index: number, size: number): Buffer {
  return bytes.subarray(index * size, (index + 1) * size);
}

/** Offsets in struct __sk_buff (linux/bpf.h). */
const SK_BUFF = { bytes: 192, mark: 8, priority: 32, ifindex: 40 } as const;
/** Room for what a program adds to a packet. */
const GROWTH = 256;

export interface TestRun {
  /** The program's return value: a tc action such as 0 (TC_ACT_OK) or 2 (TC_ACT_SHOT). */
  readonly action: number;
  readonly packet: Buffer;
  readonly mark: number;
  readonly priority: number;
  /** Mean time of one run. */
  readonly nanoseconds: number;
}

/**
 * Shows one packet to a tc program, without any network (BPF_PROG_TEST_RUN). Maps are read and written.
 * @param given  the packet's mark (0) and the index of the interface it is on (1, the loopback)
 */
export function testRun(
  program: BpfProgram,
  packet: Uint8Array,
  given: { readonly mark?: number; readonly ifindex?: number; readonly repeat?: number } = {},
): TestRun {
  const context = Buffer.alloc(SK_BUFF.bytes);
  context.writeUInt32LE(given.mark ?? 0, SK_BUFF.mark);
  context.writeUInt32LE(given.ifindex ?? 1, SK_BUFF.ifindex);
  const contextAfter = Buffer.alloc(SK_BUFF.bytes);
  const after = Buffer.alloc(packet.length + GROWTH);
  const options = {
    sz: libbpf().testRunOptionsBytes,
    data_in: packet,
    data_out: after,
    data_size_in: packet.length,
    data_size_out: after.length,
    ctx_in: context,
    ctx_out: contextAfter,
    ctx_size_in: context.length,
    ctx_size_out: contextAfter.length,
    retval: 0,
    repeat: given.repeat ?? 1,
    duration: 0,
    flags: 0,
    cpu: 0,
    batch_size: 0,
  };
  accepted(`test-run the program ${program.name}`, libbpf().testRun(program.fd, options));
  return {
    action: options.retval,
    packet: after.subarray(0, options.data_size_out),
    mark: contextAfter.readUInt32LE(SK_BUFF.mark),
    priority: contextAfter.readUInt32LE(SK_BUFF.priority),
    nanoseconds: options.duration,
  };
}
