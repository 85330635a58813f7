import { VIEW_FILES } from './files.ts';
import { planViews, type SeenMount, type SeenNamespace, type ViewsWanted } from './plan.ts';

const OURS = 'sluice-views-a';
const LIVE = '0:40';
const DEAD = '0:39';
const NETNS = 4711;

const mount = (point: string, changes: Partial<SeenMount> = {}): SeenMount => ({
  ...{ device: '0:5', point, shared: false, type: 'proc', source: 'proc' },
  ...changes,
});
const view = (point: string, device: string): SeenMount =>
  mount(point, { device, source: OURS, type: 'fuse.lxcfs' });
const SYSTEM = [mount('/proc'), mount('/sys', { type: 'sysfs' })];

function container(more: readonly SeenMount[], system = SYSTEM): SeenNamespace {
  return { inode: 1, pid: 100, netns: new Set([NETNS]), mounts: [...system, ...more] };
}

function plan(seen: SeenNamespace, wanted: Partial<ViewsWanted> = {}): ReturnType<typeof planViews> {
  const all = { device: LIVE, source: OURS, netns: new Set([NETNS]), touched: new Set<number>() };
  return planViews({ ...all, ...wanted }, [seen]);
}

const all = (device: string): SeenMount[] => VIEW_FILES.map((point) => view(point, device));
const NOBODY = { netns: new Set<number>() };

describe('a container that has asked', () => {
  it('gets every file, and nothing is taken off', () => {
    expect(plan(container([])).errands).toEqual([{ pid: 100, inode: 1, remove: [], attach: VIEW_FILES }]);
  });

  it('is left alone once it has them', () => {
    const { errands, served } = plan(container(all(LIVE)));
    expect({ errands, served }).toEqual({ errands: [], served: new Set([1]) });
  });

  it('gets new ones for those of an lxcfs that died', () => {
    const [errand] = plan(container(all(DEAD)), { touched: new Set([1]) }).errands;
    expect(errand).toMatchObject({ remove: VIEW_FILES, attach: VIEW_FILES });
  });

  it('loses a dead one also where a live one lies on it: the upper goes first', () => {
    const [errand] = plan(
      container([...all(LIVE), view('/proc/stat', DEAD), view('/proc/stat', LIVE)]),
    ).errands;
    expect(errand).toMatchObject({
      remove: ['/proc/stat', '/proc/stat', '/proc/stat'],
      attach: ['/proc/stat'],
    });
  });

  it('keeps what somebody else has put over a file', () => {
    const mask = mount('/proc/meminfo', { type: 'tmpfs', source: 'tmpfs' });
    const [errand] = plan(container([mask])).errands;
    expect(errand?.attach).toEqual(VIEW_FILES.filter((point) => point !== '/proc/meminfo'));
  });

  it.each([
    ['its /proc is shared', [mount('/proc', { shared: true })]],
    ['its /proc is not one', [mount('/proc', { type: 'ext4' })]],
    ['there is no /proc', []],
  ])('gets nothing when %s, and it is said', (_, system) => {
    const { errands, refused } = plan(container([], system));
    expect({ errands, refused: [...refused.keys()] }).toEqual({ errands: [], refused: [1] });
  });
});

describe('a container that has not asked', () => {
  it('gets nothing', () => {
    expect(plan(container([]), NOBODY).errands).toEqual([]);
  });

  it('loses what we had put there, dead or not', () => {
    for (const device of [LIVE, DEAD]) {
      const [errand] = plan(container(all(device)), { ...NOBODY, touched: new Set([1]) }).errands;
      expect(errand).toMatchObject({ remove: VIEW_FILES, attach: [] });
    }
  });

  it('keeps what its runtime has mounted of ours, and gets it anew when it is dead', () => {
    expect(plan(container(all(LIVE)), NOBODY).errands).toEqual([]);
    const [errand] = plan(container([view('/proc/uptime', DEAD)]), NOBODY).errands;
    expect(errand).toMatchObject({ remove: ['/proc/uptime'], attach: ['/proc/uptime'] });
  });
});

it('takes everything of ours off when there is to be no lxcfs', () => {
  const [errand] = plan(container(all(DEAD)), { device: undefined }).errands;
  expect(errand).toMatchObject({ remove: VIEW_FILES, attach: [] });
});
