import { FlatLimits, fieldsNamed, LimitsWords } from './limits-tree.ts';

const messagesOf = (words: unknown) =>
  LimitsWords.safeParse(words).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ??
  [];

describe('limits in words', () => {
  it('are those of an app file', () => {
    const words = {
      ...{ cpu: 0.5, memory: '128MiB', pids: 200, block: { read: '50MB/s', write: '20MB/s' } },
      net: { internal: { in: '1Gbit', out: '1Gbit' }, external: { out: '50Mbit' } },
    };
    const flat = {
      ...{ cpu: 0.5, memory: 134_217_728, pids: 200, 'block.read': 50_000_000, 'block.write': 20_000_000 },
      ...{ 'net.internal.in': 1e9, 'net.internal.out': 1e9, 'net.external.out': 50_000_000 },
    };
    expect(LimitsWords.parse(words)).toEqual(flat);
  });

  it('may name a group and fields beside it, and use dots', () => {
    const flat = { cpu: 2, 'cpu.burst': 20, 'cpu.set': '0-3', memory: null, 'memory.high': 2 ** 30 };
    const words = {
      cpu: { limit: 2, burst: '20ms', set: '0-3' },
      memory: { limit: 'unlimited', high: '1GiB' },
    };
    expect(LimitsWords.parse(words)).toEqual(flat);
    expect(LimitsWords.parse({ 'cpu.burst': '20ms', cpu: 2, net: { 'external.out': '1Mbit' } })).toEqual({
      ...{ 'cpu.burst': 20, cpu: 2, 'net.external.out': 1_000_000 },
    });
  });

  it('are refused with the place of each fault', () => {
    expect(messagesOf({ cpus: 1, net: { external: { out: 50, sideways: '1Mbit' } }, memory: [] })).toEqual([
      expect.stringMatching(/^cpus: there is no limit cpus: fields are cpu/),
      'net.external.out: "50" has no unit: say 50Mbit',
      expect.stringMatching(
        /^net\.external\.sideways: there is no limit net\.external\.sideways: fields are/,
      ),
      expect.stringMatching(/^memory: \[\] is no value/),
    ]);
    expect(messagesOf({ net: '50Mbit' })).toEqual([
      expect.stringMatching(/^net: net is a group of fields: fields are net\.internal\.in, /),
    ]);
    expect(messagesOf({ cpu: 1, 'cpu.limit': 2 })).toEqual(['cpu.limit: cpu is given twice']);
    expect(messagesOf([])).toHaveLength(1);
  });

  it('may be called by the name of a group', () => {
    expect(fieldsNamed('net.external')).toEqual(['net.external.in', 'net.external.out']);
    expect(fieldsNamed('memory')).toEqual(['memory']);
    expect(fieldsNamed('tenant')).toHaveLength(8);
    expect(fieldsNamed('tenant.volume')).toHaveLength(4);
    expect(fieldsNamed('block')).toEqual(['block.read', 'block.write', 'block.readOps', 'block.writeOps']);
    expect(fieldsNamed('net.ext')).toEqual([]);
  });
});

describe('limits in numbers', () => {
  it('are checked as strictly as words', () => {
    expect(FlatLimits.parse({ cpu: 0.5, 'cpu.set': '0-3', memory: null })).toEqual({
      ...{ cpu: 0.5, 'cpu.set': '0-3', memory: null },
    });
    for (const bad of [
      { cpu: 0 },
      { memory: 1_000 },
      { pids: 1.5 },
      { 'cpu.set': 3 },
      { pids: '3' },
      { x: 1 },
    ]) {
      expect(FlatLimits.safeParse(bad).success).toBe(false);
    }
  });
});
