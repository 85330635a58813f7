/** A flow that has not shown yet what it is: what it has said so far, and how much longer it may take. */
import { Assembly } from './assembly.ts';
import { type GuardedPacket, TCP, UDP } from './packet.ts';
import { looksLikeQuic, QuicBeginning } from './quic.ts';
import { OTHER, type Recognised, recogniseDatagram, recogniseStream } from './recognise.ts';

/** An honest client says who it is within moments of the connection's beginning. */
export const LONGEST_SILENCE_MS = 10_000;
/** A large ClientHello byte by byte, with room for repetitions; the bytes are bounded by the assembly. */
export const MOST_PACKETS = 8_192;

export interface Beginning {
  /** When it began, in ms. */
  readonly since: number;
  /** Memory held, in bytes. */
  readonly size: number;
  /** Whether the packet is the same flow's: a SYN with another number begins another one. */
  continues(packet: GuardedPacket): boolean;
  /** @returns what the flow is; undefined as long as it may become known */
  add(packet: GuardedPacket, now: number): Recognised | undefined;
}

/** @returns undefined for a TCP flow that was begun unseen: nobody knows what was said in it */
export function beginFlow(first: GuardedPacket, now: number): Beginning | undefined {
  if (first.protocol === UDP) return new Datagrams(now);
  if (first.protocol !== TCP) return { since: now, size: 0, continues: () => true, add: () => OTHER };
  return first.tcp?.syn === true && !first.tcp.ack ? new Stream(first.tcp.sequence, now) : undefined;
}

class Patience {
  #packets = 0;
  readonly #until: number;

  constructor(now: number) {
    this.#until = now + LONGEST_SILENCE_MS;
  }

  isOver(now: number): boolean {
    this.#packets += 1;
    return now > this.#until || this.#packets > MOST_PACKETS;
  }
}

class Stream implements Beginning {
  readonly since: number;
  readonly #first: number;
  readonly #assembly = new Assembly();
  readonly #patience: Patience;

  constructor(sequence: number, now: number) {
    this.#first = sequence;
    this.since = now;
    this.#patience = new Patience(now);
  }

  get size(): number {
    return this.#assembly.size;
  }

  continues({ tcp }: GuardedPacket): boolean {
    return tcp !== undefined && (!tcp.syn || tcp.sequence === this.#first);
  }

  add({ tcp, payload, destinationPort }: GuardedPacket, now: number): Recognised | undefined {
    if (this.#patience.isOver(now)) return OTHER;
    if (tcp === undefined || payload.length === 0) return undefined;
    // The SYN itself takes the first number; distances are modulo 2^32, and the later half means 'before'.
    const at = (tcp.sequence - this.#first - (tcp.syn ? 0 : 1)) | 0;
    switch (this.#assembly.add(at, payload)) {
      case 'more':
        return recogniseStream(this.#assembly.beginning(), destinationPort);
      case 'nothing':
        return undefined;
      default:
        return OTHER;
    }
  }
}

class Datagrams implements Beginning {
  readonly since: number;
  readonly #patience: Patience;
  #quic: QuicBeginning | undefined;

  constructor(now: number) {
    this.since = now;
    this.#patience = new Patience(now);
  }

  get size(): number {
    return this.#quic?.size ?? 0;
  }

  continues(): boolean {
    return true;
  }

  add({ payload }: GuardedPacket, now: number): Recognised | undefined {
    if (this.#patience.isOver(now)) return OTHER;
    if (this.#quic === undefined && !looksLikeQuic(payload)) return recogniseDatagram(payload);
    this.#quic ??= new QuicBeginning();
    const glimpse = this.#quic.add(payload);
    if (glimpse.state === 'found') return { protocol: 'quic', domain: glimpse.domain };
    return glimpse.state === 'no' ? OTHER : undefined;
  }
}
