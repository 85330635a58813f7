/** Brings the rates of a node's ports to what is wanted, all in one go, and reads them back. */
import type { SluiceError } from '../../model/errors.ts';
import type { RateField } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { IfName } from '../../model/names.ts';
import type { NodeRates, PortRates, RateKeeper, RateStatistics } from '../../qos/contract.ts';
import type { Desired } from '../../qos/desired.ts';
import { planRates, sameRate } from '../../qos/plan.ts';
import { createTurns } from './parallel.ts';

const NO_RATES: NodeRates = { ports: [], tenants: [] };
/** One collection of metrics asks for several figures. */
const STATISTICS_FRESH_MS = 1_000;

export interface RateSettlerParts {
  /** undefined until there is something to hold rates with. */
  rates(): RateKeeper | undefined;
  /** Somebody else has changed what a port is held to. */
  drifted(hostIf: IfName, field: RateField, was: number | null, now: number | null): void;
  /** Unix ms. */
  readonly now: () => number;
}

export class RateSettler {
  readonly #parts: RateSettlerParts;
  readonly #inTurn = createTurns();
  /** By the last read-back; undefined: not read yet. */
  #held: NodeRates | undefined;
  /** Whether something was written that is not read back yet. */
  #unread = false;
  #shortfalls: ReadonlyMap<IfName, readonly Shortfall[]> = new Map();
  #statistics: { readonly at: number; readonly read: Promise<readonly RateStatistics[]> } | undefined;

  constructor(parts: RateSettlerParts) {
    this.#parts = parts;
  }

  /** By the last read-back. */
  held(): NodeRates {
    return this.#held ?? NO_RATES;
  }

  isUnread(): boolean {
    return this.#unread;
  }

  shortfallsOf(hostIf: IfName): readonly Shortfall[] {
    return this.#shortfalls.get(hostIf) ?? [];
  }

  /**
   * @param wanted  asked only when it is this one's turn: meanwhile others come and go
   * @param left  ports that stay as they are, because something else of their container was refused
   * @param look  'full': the kernel is read first; 'after': only what was written is read back; 'later': not even that
   *   yet, but at the next settling, because an ADD waits
   * @throws SluiceError `kernel_refused`
   */
  settle(wanted: () => Desired, left: ReadonlySet<IfName>, look: 'full' | 'after' | 'later'): Promise<void> {
    return this.#inTurn(async () => {
      const rates = this.#parts.rates();
      if (rates === undefined) return;
      const stale = look === 'full' || (look === 'after' && this.#unread);
      const held = this.#held === undefined || stale ? await this.#look(rates) : this.#held;
      const plan = planRates(wanted(), left, held);
      this.#shortfalls = plan === undefined ? new Map() : await rates.apply(plan);
      if (plan === undefined) return;
      this.#unread = look === 'later';
      this.#held = this.#unread ? plan : await rates.read();
    });
  }

  async #look(rates: RateKeeper): Promise<NodeRates> {
    const before = this.#unread ? undefined : this.#held;
    const held = await rates.read();
    if (before !== undefined) this.#noteDrift(before, held);
    this.#unread = false;
    this.#held = held;
    return held;
  }

  /** Remembers what was refused, for reports. */
  refuse({ containers }: Desired, { message }: SluiceError): void {
    const held = new Map(this.held().ports.map((port) => [port.hostIf, port]));
    this.#shortfalls = new Map(
      containers
        .flatMap(({ ports }) => ports)
        .filter((port) => !sameRate(port, held.get(port.hostIf)))
        .map((port) => [port.hostIf, refused(port, held.get(port.hostIf), message)]),
    );
  }

  /** From the kernel, now. */
  async read(): Promise<NodeRates> {
    return (await this.#parts.rates()?.read()) ?? NO_RATES;
  }

  /** Of both directions of every port that has a rate; at most a second old. */
  statistics(): Promise<readonly RateStatistics[]> {
    const now = this.#parts.now();
    if (this.#statistics === undefined || Math.abs(now - this.#statistics.at) > STATISTICS_FRESH_MS)
      this.#statistics = { at: now, read: this.#parts.rates()?.statistics() ?? Promise.resolve([]) };
    return this.#statistics.read;
  }

  #noteDrift(before: NodeRates, now: NodeRates): void {
    const held = new Map(now.ports.map((port) => [port.hostIf, port]));
    for (const port of before.ports) {
      const present = held.get(port.hostIf);
      for (const direction of sameRate(port, present) ? [] : (['in', 'out'] as const)) {
        const [was, is] = [port[direction], present?.[direction] ?? null];
        if (was !== is) this.#parts.drifted(port.hostIf, `net.${port.side}.${direction}`, was, is);
      }
    }
  }
}

function refused(wanted: PortRates, held: PortRates | undefined, why: string): Shortfall[] {
  return (['in', 'out'] as const).map((direction) => ({
    field: `net.${wanted.side}.${direction}` as const,
    wanted: wanted[direction],
    kernel: held?.[direction] ?? null,
    why,
  }));
}
