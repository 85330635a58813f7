/** Which nodes follow the keys, and what they say of their planes. Held in memory: a new server hears it anew. */
import type { HeldKeys } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';

interface Known {
  streams: number;
  /** Since when it has had no stream, by the presence's own clock. */
  awaySince: number;
  held: HeldKeys | undefined;
}

export class Presence {
  readonly #nodes = new Map<NodeName, Known>();
  readonly #changed: () => void;
  readonly #clock: () => number;
  readonly #born: number;

  /**
   * @param changed  called after every change
   * @param clock  ms that only go forward
   */
  constructor(changed: () => void, clock: () => number) {
    this.#changed = changed;
    this.#clock = clock;
    this.#born = clock();
  }

  /** A node follows the keys until the signal. What it said on an earlier stream counts no more. */
  opened(node: NodeName, signal: AbortSignal): void {
    const known = this.#of(node);
    known.streams += 1;
    known.held = undefined;
    signal.addEventListener('abort', () => this.#closed(known), { once: true });
    if (signal.aborted) this.#closed(known);
    this.#changed();
  }

  acknowledged(node: NodeName, held: HeldKeys): void {
    this.#of(node).held = held;
    this.#changed();
  }

  /** ms without a stream; 0 while there is one. A node that never had one is away since the server started. */
  awayMs(node: NodeName): number {
    const known = this.#nodes.get(node);
    if (known !== undefined && known.streams > 0) return 0;
    return Math.max(1, this.#clock() - (known?.awaySince ?? this.#born));
  }

  held(node: NodeName): HeldKeys | undefined {
    return this.#nodes.get(node)?.held;
  }

  #of(node: NodeName): Known {
    const known = this.#nodes.get(node) ?? { streams: 0, awaySince: this.#born, held: undefined };
    this.#nodes.set(node, known);
    return known;
  }

  #closed(known: Known): void {
    known.streams -= 1;
    known.awaySince = this.#clock();
    this.#changed();
  }
}
