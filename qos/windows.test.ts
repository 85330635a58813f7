import fc from 'fast-check';
import { checkpoint, type KeptWindow, stepWindow, timeLeft, type Window } from './windows.ts';

const MINUTE = 60_000;
/** Between two looks at the clocks, as netd looks. */
const LOOK_MS = 1_000;
const CHECKPOINT_MS = 10_000;
const WINDOW: Window = { from: 100 * MINUTE, until: 130 * MINUTE };
const ONCE = { until: WINDOW.until, repeat: null };

/** What befalls a node. */
type Event =
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'jump'; readonly ms: number }
  | { readonly kind: 'kill' }
  | { readonly kind: 'reboot'; readonly downMs: number };

const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(5 * MINUTE) }) },
  fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -60 * MINUTE, max: 60 * MINUTE }) }),
  fc.record({ kind: fc.constant('kill' as const) }),
  fc.record({ kind: fc.constant('reboot' as const), downMs: fc.nat(10 * MINUTE) }),
);

/** A node that looks at its clocks every second and writes down as netd does. */
class Node {
  /** Real ms; the wall clock is right as long as nobody moves it. */
  real = WINDOW.from - MINUTE;
  off = 0;
  bootedAt = 0;
  boot = 0;
  memory: KeptWindow | undefined;
  disk: KeptWindow | undefined;
  writtenAt = 0;
  /** Real ms during which the switch was open with the node running. */
  openMs = 0;
  reboots = 0;

  now() {
    return { wall: this.real + this.off, boot: this.real - this.bootedAt, bootId: `boot-${this.boot}` };
  }

  isOpen(): boolean {
    return this.memory !== undefined && !this.memory.over;
  }

  look(): void {
    const now = this.now();
    const candidate = now.wall < WINDOW.from ? undefined : WINDOW;
    const next = stepWindow(this.memory, ONCE, candidate, now);
    const due = this.real - this.writtenAt >= CHECKPOINT_MS;
    if (next !== this.memory || due) {
      this.disk = next && checkpoint(next, now);
      this.writtenAt = this.real;
    }
    this.memory = next;
  }

  befall(event: Event): void {
    if (event.kind === 'pass') this.pass(event.ms);
    if (event.kind === 'jump') this.off += event.ms;
    if (event.kind === 'kill') this.memory = this.disk;
    if (event.kind === 'reboot') {
      this.real += event.downMs;
      this.bootedAt = this.real;
      this.boot += 1;
      this.reboots += 1;
      this.memory = this.disk;
    }
    this.look();
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= LOOK_MS) {
      const step = Math.min(left, LOOK_MS);
      if (this.isOpen()) this.openMs += step;
      this.real += step;
      this.look();
    }
  }
}

describe('windows of a switch on a node', () => {
  it('are open from their beginning to their end while the clocks are right', () => {
    const node = new Node();
    node.pass(200 * MINUTE);
    expect(node.openMs).toBe(WINDOW.until - WINDOW.from);
    expect(node.isOpen()).toBe(false);
  });

  it('never last longer than was said, whatever clocks, kills and reboots do, and do not open twice', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
        const node = new Node();
        let ended = false;
        for (const event of events) {
          node.befall(event);
          if (ended) expect(node.isOpen()).toBe(false);
          if (node.memory?.over) ended = true;
          if (node.isOpen()) expect(node.now().wall).toBeLessThan(WINDOW.until);
        }
        // A reboot may cost what had passed since the last checkpoint.
        const slack = LOOK_MS + node.reboots * (CHECKPOINT_MS + LOOK_MS);
        expect(node.openMs).toBeLessThanOrEqual(WINDOW.until - WINDOW.from + slack);
      }),
      { numRuns: 500 },
    );
  });

  it('are open again after a kill or a reboot in the middle, for what was left', () => {
    const node = new Node();
    node.pass(11 * MINUTE);
    node.befall({ kind: 'kill' });
    expect(node.isOpen()).toBe(true);
    node.befall({ kind: 'reboot', downMs: 5 * MINUTE });
    expect(node.isOpen()).toBe(true);
    node.pass(20 * MINUTE);
    expect([node.isOpen(), node.openMs]).toEqual([false, 25 * MINUTE]);
  });

  it('end by the time since boot when the wall clock goes back an hour', () => {
    const node = new Node();
    node.pass(2 * MINUTE);
    node.befall({ kind: 'jump', ms: -60 * MINUTE });
    expect(node.isOpen()).toBe(true);
    node.pass(29 * MINUTE);
    expect([node.isOpen(), node.openMs]).toEqual([false, 30 * MINUTE]);
    node.pass(120 * MINUTE);
    expect(node.isOpen()).toBe(false);
  });

  it('end at once when the wall clock goes past their end, and stay so when it comes back', () => {
    const node = new Node();
    node.pass(2 * MINUTE);
    node.befall({ kind: 'jump', ms: 60 * MINUTE });
    expect(node.isOpen()).toBe(false);
    node.befall({ kind: 'jump', ms: -60 * MINUTE });
    node.pass(5 * MINUTE);
    expect(node.isOpen()).toBe(false);
  });

  it('last as long as was said on a node whose clock says that they have not begun', () => {
    const at = (wall: number, boot: number) => ({ wall, boot, bootId: 'b' });
    const open = stepWindow(undefined, ONCE, WINDOW, at(WINDOW.from - 60 * MINUTE, 0))!;
    expect(timeLeft(open, at(WINDOW.from - 60 * MINUTE, 0))).toBe(30 * MINUTE);
    expect(stepWindow(open, ONCE, undefined, at(WINDOW.from - 30 * MINUTE, 30 * MINUTE))?.over).toBe(true);
  });

  it('follow an operator who moves the end, also when they were over by then', () => {
    const at = (wall: number) => ({ wall, boot: wall, bootId: 'b' });
    const open = stepWindow(undefined, ONCE, WINDOW, at(WINDOW.from));
    const over = stepWindow(open, ONCE, WINDOW, at(WINDOW.until));
    expect([open?.over, over?.over]).toEqual([false, true]);
    const later = { until: WINDOW.until + MINUTE, repeat: null };
    const again = stepWindow(over, later, WINDOW, at(WINDOW.until + 10))!;
    expect(again.over).toBe(false);
    expect(timeLeft(again, at(WINDOW.until + 10))).toBe(MINUTE - 10);
    const sooner = stepWindow(
      again,
      { until: WINDOW.from + MINUTE, repeat: null },
      WINDOW,
      at(WINDOW.until + 20),
    );
    expect(sooner?.over).toBe(true);
  });

  it('come again where the switch repeats, each once', () => {
    const nightly = { until: 10_000 * MINUTE, repeat: { cron: '0 2 * * *', forMs: MINUTE, zone: 'UTC' } };
    const at = (wall: number) => ({ wall, boot: wall, bootId: 'b' });
    const windowOf = (from: number): Window => ({ from, until: from + MINUTE });
    const first = stepWindow(undefined, nightly, windowOf(0), at(10))!;
    const ended = stepWindow(first, nightly, windowOf(0), at(MINUTE))!;
    const back = stepWindow(ended, nightly, windowOf(0), at(10))!;
    const second = stepWindow(back, nightly, windowOf(100 * MINUTE), at(100 * MINUTE))!;
    expect([first, ended, back, second].map(({ over }) => over)).toEqual([false, true, true, false]);
  });
});
