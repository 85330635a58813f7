/** A change of keys in a cluster where anything is late, lost, killed or shut out: what one node sends, the others accept. */
import fc from 'fast-check';
import { epochOf, type HeldKeys, type KeyGeneration } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';
import {
  beginRotation,
  firstRotation,
  type KeyTiming,
  type NodeKeys,
  planRotation,
  type Rotation,
} from '../../orchestrator/server/rotation-plan.ts';

const NODES = 4;
const TIMING: KeyTiming = { rotateEveryMs: 400, graceMs: 50, waitMs: 300, reconnectMs: 200 };

interface Plane {
  readonly accepts: readonly KeyGeneration[];
  readonly sends: KeyGeneration;
}

/** What is on the node stays when anything dies; `streaming` and `said` are the server's, and die with it. */
interface Node {
  readonly name: NodeName;
  fenced: boolean;
  streaming: boolean;
  awaySince: number;
  plane: Plane | undefined;
  /** On its way to the server. */
  word: HeldKeys | undefined;
  said: HeldKeys | undefined;
  readonly knows: Set<KeyGeneration>;
}

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('tell', 'hear'), who: fc.nat(NODES - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('lose', 'connect', 'cut', 'fence', 'unfence'),
      who: fc.nat(NODES - 1),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('decide'), who: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('crash', 'rotate'), who: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass'), who: fc.integer({ min: 1, max: 400 }) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

class World {
  /** Decisions of each kind, so that a world in which nothing happens is noticed. */
  static reached = new Map<string, number>();
  now = 1_000;
  startedAt = 0;
  rotation: Rotation = firstRotation(1 as KeyGeneration, 0);
  readonly nodes: Node[] = Array.from({ length: NODES }, (_, i) => ({
    name: `n${i}` as NodeName,
    ...{ fenced: false, streaming: true, awaySince: 0, plane: undefined, word: undefined, said: undefined },
    knows: new Set<KeyGeneration>(),
  }));

  readonly #deeds: Readonly<Record<string, (node: Node, who: number) => void>> = {
    tell: (node) => this.tell(node),
    hear: (node) => {
      if (node.streaming && node.word !== undefined) node.said = node.word;
      node.word = undefined;
    },
    lose: (node) => {
      node.word = undefined;
    },
    connect: (node) => {
      if (!node.fenced && !node.streaming) Object.assign(node, { streaming: true, said: undefined });
    },
    cut: (node) => this.cut(node),
    fence: (node) => {
      node.fenced = true;
      this.cut(node);
      this.rotation = beginRotation(this.rotation, true, this.now);
    },
    unfence: (node) => {
      const others = this.rotation.late.filter((one) => one !== node.name);
      if (node.fenced) this.rotation = { ...this.rotation, late: [...others, node.name] };
      node.fenced = false;
    },
    crash: () => {
      this.startedAt = this.now;
      for (const node of this.nodes) {
        this.cut(node);
        Object.assign(node, { said: undefined, awaySince: this.now });
      }
    },
    rotate: () => {
      if (this.rotation.phase === 'steady') this.rotation = beginRotation(this.rotation, false, this.now);
    },
    pass: (_node, ms) => {
      this.now += ms;
    },
    decide: () => this.decide(),
  };

  act({ do: what, who }: Action): void {
    this.#deeds[what]!(this.nodes[who % NODES]!, who);
  }

  /** All that a node that works does. */
  answer(node: Node): void {
    const who = this.nodes.indexOf(node);
    for (const what of ['connect', 'tell', 'hear']) this.act({ do: what, who } as Action);
  }

  /** The newest state reaches the node, whose plane becomes it: there is no telling what came between. */
  tell(node: Node): void {
    if (!node.streaming || node.fenced) return;
    const accepts = this.rotation.accepted.map(({ generation }) => generation);
    for (const generation of accepts) node.knows.add(generation);
    node.plane = { accepts, sends: this.rotation.current };
    node.word = { accepts: accepts.map(epochOf), sends: epochOf(this.rotation.current) };
  }

  cut(node: Node): void {
    if (node.streaming) node.awaySince = this.now;
    Object.assign(node, { streaming: false, word: undefined });
  }

  decide(): void {
    const known = this.nodes.map(
      ({ name, fenced, streaming, awaySince, said }): NodeKeys => ({
        ...{ node: name, fenced, held: said },
        awayMs: streaming ? 0 : Math.max(1, this.now - awaySince),
      }),
    );
    const step = planRotation(this.rotation, known, this.now, TIMING, this.startedAt);
    if (step.do === 'begin') this.rotation = beginRotation(this.rotation, false, this.now);
    if (step.do === 'advance') this.rotation = step.to;
    const what = step.do === 'advance' ? this.rotation.phase : step.do;
    World.reached.set(what, (World.reached.get(what) ?? 0) + 1);
  }

  /** Nodes that nobody was told to do without. */
  get counted(): Node[] {
    return this.nodes.filter(
      ({ name, fenced, plane }) => !fenced && plane !== undefined && !this.rotation.late.includes(name),
    );
  }

  check(): void {
    for (const sender of this.counted) {
      for (const receiver of this.counted) {
        const { sends } = sender.plane!;
        if (!receiver.plane!.accepts.includes(sends)) {
          throw new Error(`${receiver.name} refuses generation ${sends}, which ${sender.name} sends`);
        }
      }
    }
    const handedOut = this.rotation.accepted.map(({ generation }) => generation);
    if (!handedOut.includes(this.rotation.current)) throw new Error('what is sent with is not handed out');
    if (this.rotation.phase !== 'steady') return;
    for (const { name, fenced, knows } of this.nodes) {
      const known = fenced && handedOut.some((generation) => knows.has(generation));
      if (known) throw new Error(`${name} is fenced and knows a key that is accepted`);
    }
  }
}

describe('a change of keys', () => {
  it('never makes a node refuse what another one sends, in any order of news, losses, crashes and fencings', () => {
    World.reached.clear();
    fc.assert(
      fc.property(fc.array(action, { minLength: 20, maxLength: 250 }), (actions) => {
        const world = new World();
        for (const one of actions) {
          world.act(one);
          world.check();
        }
      }),
      { numRuns: 3_000 },
    );
    for (const what of ['begin', 'switching', 'retiring', 'steady', 'wait']) {
      expect(World.reached.get(what) ?? 0).toBeGreaterThan(100);
    }
  });

  it('ends, once nodes answer', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const world = new World();
        for (const one of actions) world.act(one);
        const last = beginRotation(world.rotation, true, world.now);
        world.rotation = last;
        for (let i = 0; i < 40; i++) {
          for (const node of world.nodes.filter(({ fenced }) => !fenced)) world.answer(node);
          if (world.rotation.phase !== 'steady' || world.rotation.late.length > 0) world.decide();
        }
        expect(world.rotation).toMatchObject({ phase: 'steady', late: [] });
        expect(world.rotation.current).toBe(last.accepted.at(-1)!.generation);
      }),
    );
  });
});
