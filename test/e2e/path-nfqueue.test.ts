/** What the path does to packets between nodes without eBPF. What does not hold there: docs/decisions/0032. */
import { errorsOnTheWay } from '../path/errors.ts';
import { longDatagrams } from '../path/fragments.ts';
import { headersOnTheWay } from '../path/headers.ts';
import { narrowHop } from '../path/mtu.ts';
import { carry, type Scene, setScene } from '../path/scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await setScene('tpathq', { tagqueue: { plane: 'nfqueue' } });
  await carry(scene, 'option');
}, 60_000);
afterAll(() => scene?.[Symbol.asyncDispose]());

for (const suite of [narrowHop, longDatagrams, errorsOnTheWay, headersOnTheWay])
  suite({ scene: () => scene, carrier: 'option', way: 'userland' });
