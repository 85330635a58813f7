import { Config } from '../../model/config.ts';
import { switchRules } from './switch-rules.ts';

const rules = (switches: object): ReturnType<typeof switchRules> =>
  switchRules(Config.parse({ switches }).switches);

describe('what the configuration says of switches', () => {
  it('has presets that work out of the box, and asks nobody', () => {
    const { presets, approveAbove, longestMs } = rules({});
    expect([...presets.keys()]).toEqual(['peak', 'degrade-batch']);
    expect(presets.get('peak')).toMatchObject({
      changes: { cpu: { do: 'lift' }, 'net.external.out': { do: 'lift' }, 'volume.read': { do: 'lift' } },
      priority: 100,
      forMs: 6 * 3_600_000,
    });
    expect(presets.get('degrade-batch')?.changes).toMatchObject({ cpu: { do: 'scale', factor: 0.5 } });
    expect([approveAbove, longestMs]).toEqual([undefined, 30 * 86_400_000]);
  });

  it('takes presets in words, approvals and another length', () => {
    const night = { set: { cpu: 0.5, memory: '128MiB', 'cpu.set': '0-3,7' }, lift: ['net.external'] };
    const { presets, approveAbove, longestMs } = rules({
      ...{ presets: { night }, approval: 'required', approveAbove: 10, longest: 0 },
    });
    expect(presets.get('night')).toEqual({
      changes: {
        cpu: { do: 'set', value: 0.5 },
        memory: { do: 'set', value: 2 ** 27 },
        'cpu.set': { do: 'set', value: '0-3,7' },
        'net.external.in': { do: 'lift' },
        'net.external.out': { do: 'lift' },
      },
      priority: 0,
      forMs: undefined,
    });
    expect(presets.has('peak')).toBe(false);
    expect([approveAbove, longestMs]).toEqual([10, Number.POSITIVE_INFINITY]);
  });

  it('names the preset that is wrong, and why', () => {
    for (const [preset, why] of [
      [{}, /presets\.night changes nothing/],
      [{ lift: ['speed'] }, /presets\.night: there is no limit "speed"/],
      [{ set: { memory: '128' } }, /presets\.night: memory/],
      [{ lift: ['net'], scale: { 'net.external.out': 2 } }, /presets\.night: one field is named twice/],
      [{ scale: { 'cpu.set': 2 } }, /presets\.night: .*cannot be scaled/],
    ] as const)
      expect(() => rules({ presets: { night: preset } })).toThrow(why);
  });
});
