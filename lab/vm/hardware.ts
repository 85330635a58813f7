/** What a guest is made of, as QEMU's arguments. Pure. */
import type { Argv } from '../../linux/process.ts';

export interface Hardware {
  readonly kernel: string;
  readonly initramfs: string;
  /** The socket of the virtiofs daemon. */
  readonly rootSocket: string;
  /** A raw image; the guest's /dev/vda. */
  readonly disk: string;
  readonly cpus: number;
  readonly memoryMiB: number;
}

/** The connections QEMU finds open, as `startDaemon` numbers them; and the names of the ports the guest has for them. */
export const CHANNELS = ['console', 'commands', 'stdout', 'stderr'] as const;
const FIRST_CHANNEL = 3;

/**
 * Without hardware virtualisation (TCG), so that it runs on machines which are guests themselves; without network.
 * QEMU ends when the guest switches itself off, when it panics, and when the thread that started QEMU does.
 */
export function qemuCommand({ kernel, initramfs, rootSocket, disk, cpus, memoryMiB }: Hardware): Argv {
  const [console, ...ports] = CHANNELS.map((name, index) => ({ name, fd: FIRST_CHANNEL + index }));
  return [
    'setpriv',
    ...['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-nic', 'none'],
    ...['-accel', 'tcg', '-cpu', 'max', '-smp', String(cpus), '-m', String(memoryMiB)],
    // virtiofs reads and writes the guest's memory, so it has to be shared.
    ...['-machine', 'q35,memory-backend=memory'],
    ...['-object', `memory-backend-memfd,id=memory,size=${memoryMiB}M,share=on`],
    ...['-kernel', kernel, '-initrd', initramfs],
    // Workarounds for flaws of real CPUs cost time and protect nobody here.
    ...['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'],
    ...['-chardev', `socket,id=root,path=${quoted(rootSocket)}`],
    ...['-device', 'vhost-user-fs-pci,chardev=root,tag=root'],
    ...['-drive', `file=${quoted(disk)},if=virtio,format=raw,cache=unsafe`],
    ...['-chardev', `socket,id=console,fd=${console?.fd}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci'],
    ...ports.flatMap(({ name, fd }) => [
      ...['-chardev', `socket,id=${name},fd=${fd}`],
      ...['-device', `virtserialport,chardev=${name},name=${name}`],
    ]),
  ];
}

/** A comma ends an option's value, unless there are two. */
const quoted = (path: string): string => path.replaceAll(',', ',,');
