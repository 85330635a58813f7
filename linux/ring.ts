/** Reads an eBPF ring buffer (BPF_MAP_TYPE_RINGBUF) without waiting. */
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';
import type { BpfMap } from './bpf.ts';
import { accepted, errnoName, libbpf, type Pointer } from './libbpf.ts';

export interface RingReader extends Disposable {
  /** Takes all records that are waiting, oldest first. Two readers of one ring would share its records. */
  consume(): Buffer[];
}

/**
 * Maps the ring into this process.
 * @throws SluiceError `kernel_refused`
 */
export function openRing(map: BpfMap): RingReader {
  let records: Buffer[] = [];
  const sample = koffi.register(
    (_context: null, data: Pointer, size: number): number => {
      records.push(Buffer.from(koffi.view(data, size).slice(0)));
      return 0;
    },
    koffi.pointer(koffi.proto('int', ['void *', 'void *', 'size_t'])),
  );
  const ring = libbpf().ringNew(map.fd, sample, null, null);
  if (ring === null) {
    koffi.unregister(sample);
    throw new SluiceError(
      'kernel_refused',
      `cannot read the ring ${map.name}: ${errnoName(-koffi.errno())}`,
      'reading drops needs root with CAP_BPF',
    );
  }
  return {
    consume: () => {
      records = [];
      accepted(`read the ring ${map.name}`, libbpf().ringConsume(ring));
      return records;
    },
    [Symbol.dispose]: () => {
      libbpf().ringFree(ring);
      koffi.unregister(sample);
    },
  };
}
