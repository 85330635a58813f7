/** What the path does to packets, over both carriers, past bridge and routing and through them. */
import { Carrier } from '../../model/carrier.ts';
import { changesUnderLoad } from '../path/changes.ts';
import { errorsOnTheWay } from '../path/errors.ts';
import { longDatagrams } from '../path/fragments.ts';
import { headersOnTheWay, optionsOnTheWay } from '../path/headers.ts';
import { narrowHop } from '../path/mtu.ts';
import { carry, type Scene, setScene, type Way } from '../path/scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await setScene('tpath');
}, 60_000);
afterAll(() => scene?.[Symbol.asyncDispose]());

function everything(way: Way): void {
  describe.each(Carrier.options)('with the carrier %s', (carrier) => {
    beforeAll(() => carry(scene, carrier), 30_000);
    for (const suite of [narrowHop, longDatagrams, errorsOnTheWay, headersOnTheWay, optionsOnTheWay])
      suite({ scene: () => scene, carrier, way });
  });
  changesUnderLoad({ scene: () => scene, way });
}

describe('on the fast path', () => everything('fast path'));

describe('without the fast path', () => {
  beforeAll(async () => {
    await Promise.all(scene.lab.nodes.map((node) => node.restart({ tagqueue: { fastPath: 'off' } })));
  }, 60_000);
  everything('long way');
});
