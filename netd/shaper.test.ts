import { type ObservedShaper, planShaper, type WantedShaper } from './shaper.ts';

const WANTED: WantedShaper = { bridge: 3, mtu: 1_450, programs: { out: 51, in: 52 } };
const link = (index: number, peerIndex: number, master?: number) => ({
  ...{ index, peerIndex, master, kind: 'veth', mtu: WANTED.mtu, up: true },
});
const RIGHT: ObservedShaper = {
  links: { out: link(8, 7), in: link(7, 8, WANTED.bridge) },
  programs: WANTED.programs,
  known: { out: 8, in: 7 },
};
const steps = (observed: ObservedShaper): string[] =>
  planShaper(WANTED, observed).map((action) => ('end' in action ? `${action.do} ${action.end}` : action.do));

describe('the interfaces of a shaper', () => {
  it('are left alone when they are right', () => {
    expect(steps(RIGHT)).toEqual([]);
  });

  it('are judged before they come up, and known last', () => {
    const nothing = {
      ...{ links: { out: undefined, in: undefined }, programs: { out: undefined, in: undefined } },
      known: undefined,
    };
    expect(steps(nothing)).toEqual([
      ...['create', 'fence out', 'fence in', 'port', 'raise out', 'raise in', 'tell'],
    ]);
  });

  it.each<[string, string[], Partial<ObservedShaper>]>([
    ['a program is another one', ['fence in'], { programs: { ...WANTED.programs, in: 99 } }],
    ['an end left the bridge', ['port'], { links: { ...RIGHT.links, in: link(7, 8) } }],
    ['an end is down', ['raise out'], { links: { ...RIGHT.links, out: { ...link(8, 7), up: false } } }],
    ['the MTU changed', ['mtu out'], { links: { ...RIGHT.links, out: { ...link(8, 7), mtu: 1_500 } } }],
    ['the plane is new', ['tell'], { known: undefined }],
    ['the plane knows another pair', ['tell'], { known: { out: 8, in: 70 } }],
  ])('are repaired in just that when %s', (_what, wanted, change) => {
    expect(steps({ ...RIGHT, ...change })).toEqual(wanted);
  });

  it('are made anew when they are no pair', () => {
    expect(steps({ ...RIGHT, links: { ...RIGHT.links, in: undefined } }).slice(0, 2)).toEqual([
      'remove',
      'create',
    ]);
    expect(steps({ ...RIGHT, links: { ...RIGHT.links, out: link(8, 70) } }).slice(0, 3)).toEqual([
      ...['remove', 'remove', 'create'],
    ]);
  });
});
