/** Loop devices: files as disks. Each goes by itself when nothing uses it any more, however its maker ended. */
import { closeSync, constants, openSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';

/** linux/loop.h */
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_CAPACITY = 0x4c07;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CTL_GET_FREE = 0x4c82;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;

/** struct loop_config: fd, block size, struct loop_info64 (232 bytes), eight words to spare. */
const CONFIG_BYTES = 4 + 4 + 232 + 8 * 8;
/** lo_flags within it: behind five 64-bit and three 32-bit numbers of the info. */
const FLAGS_AT = 8 + 5 * 8 + 3 * 4;

/** Large enough for direct reads and writes on every disk below, also on those with sectors of 4 KiB. */
const SECTOR_BYTES = 4_096;
/** As /sys counts sizes of devices, whatever their sectors. */
const SIZE_UNIT = 512;

/** How often another program may snatch the device that the kernel has just named to us. */
const ATTEMPTS = 64;

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, uintptr_t argument)');
const ioctlBytes = libc.func('int ioctl(int fd, unsigned long request, const uint8_t *argument)');

/** A device that is held: it stays as long as this is not disposed of, and then as long as it is mounted. */
export interface LoopDevice extends Disposable {
  /** Such as /dev/loop3. */
  readonly device: string;
}

export interface LoopInUse {
  readonly device: string;
  /** What it shows; with ' (deleted)' behind it when the file has no name any more. */
  readonly file: string;
  readonly bytes: number;
}

/** Every loop device of the machine that shows a file. */
export function loopsInUse(): LoopInUse[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      const file = textIn(`/sys/block/${name}/loop/backing_file`);
      const sectors = textIn(`/sys/block/${name}/size`);
      if (file === undefined || sectors === undefined) return [];
      return [{ device: `/dev/${name}`, file, bytes: Number(sectors) * SIZE_UNIT }];
    });
}

/**
 * Shows a file as a disk of sectors of 4 KiB, read and written past the page cache where the file system below can. A
 * device that shows it already is held instead: two for one file would destroy what is on it.
 * @throws SluiceError `kernel_refused`
 */
export function attachLoop(file: string): LoopDevice {
  const real = realpathSync(file);
  const there = loopsInUse().find((one) => one.file === real);
  if (there !== undefined) return hold(there.device);
  const image = openSync(file, constants.O_RDWR);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const device = hold(`/dev/loop${freeNumber()}`);
      const refusal = configure(device.fd, image);
      if (refusal === undefined) return device;
      device[Symbol.dispose]();
      if (refusal !== 'EBUSY') throw refused(`show ${file} as a disk`, refusal);
    }
    throw refused(`show ${file} as a disk`, 'EBUSY');
  } finally {
    closeSync(image);
  }
}

/** Lets it see that its file has grown. @throws SluiceError `kernel_refused` */
export function refreshLoop(device: string): void {
  using held = hold(device);
  if (ioctl(held.fd, LOOP_SET_CAPACITY, 0) < 0) throw refused(`resize ${device}`, lastError());
}

/** Ends it; while it is mounted or open, as soon as it is not. One that shows nothing is no error. @throws SluiceError */
export function detachLoop(device: string): void {
  using held = hold(device);
  if (ioctl(held.fd, LOOP_CLR_FD, 0) >= 0) return;
  const error = lastError();
  if (error !== 'ENXIO') throw refused(`end ${device}`, error);
}

function hold(device: string): LoopDevice & { readonly fd: number } {
  const fd = openSync(device, constants.O_RDWR);
  return { device, fd, [Symbol.dispose]: () => closeSync(fd) };
}

function freeNumber(): number {
  const control = openSync('/dev/loop-control', constants.O_RDWR);
  try {
    const number = ioctl(control, LOOP_CTL_GET_FREE, 0);
    if (number < 0) throw refused('give a loop device', lastError());
    return number;
  } finally {
    closeSync(control);
  }
}

/** @returns what the kernel said, undefined when it is done */
function configure(device: number, image: number): string | undefined {
  const config = Buffer.alloc(CONFIG_BYTES);
  config.writeUInt32LE(image, 0);
  config.writeUInt32LE(SECTOR_BYTES, 4);
  config.writeUInt32LE(LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, FLAGS_AT);
  return ioctlBytes(device, LOOP_CONFIGURE, config) < 0 ? lastError() : undefined;
}

function lastError(): string {
  return getSystemErrorName(-koffi.errno());
}

function refused(what: string, error: string): SluiceError {
  const hint = 'sluice needs root with CAP_SYS_ADMIN, and the kernel its loop driver';
  return new SluiceError('kernel_refused', `the kernel refused to ${what}: ${error}`, hint);
}

function textIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
