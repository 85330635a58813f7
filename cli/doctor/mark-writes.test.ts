import fc from 'fast-check';
import { bitsWritten, hasIptablesTargets, iptablesWriters, nftWriters } from './mark-writes.ts';

const mark = { meta: { key: 'mark' } };
const connectionMark = { ct: { key: 'mark' } };

describe('the bits a rule of nftables writes', () => {
  it.each<[string, unknown, number]>([
    ['a constant', 5, 0xffff_ffff],
    ['the mark itself', mark, 0],
    ['a bit set', { '|': [mark, 0x4000] }, 0x4000],
    ['a bit cleared', { '&': [mark, 0xffff_bfff] }, 0x4000],
    ['a bit flipped', { '^': [mark, 0x4000] }, 0x4000],
    ['a field set', { '|': [{ '&': [mark, 0xffff_00ff] }, 0x400] }, 0xff00],
    ['the top bit', { '|': [mark, 0x8000_0000] }, 0x8000_0000],
    ['another mark', connectionMark, 0xffff_ffff],
    ['what is not understood', { map: { key: mark, data: '@m' } }, 0xffff_ffff],
    ['nothing', null, 0xffff_ffff],
  ])('%s', (_what, value, bits) => {
    expect(bitsWritten(value, 'meta')).toBe(bits);
  });

  type Expression = number | { [operator: string]: unknown };
  const apply: Record<string, (a: number, b: number) => number> = {
    '|': (a, b) => a | b,
    '&': (a, b) => a & b,
    '^': (a, b) => a ^ b,
  };
  const value = (expression: Expression, given: number): number => {
    if (typeof expression === 'number') return expression;
    if ('meta' in expression) return given;
    const [[operator, [a, b]]] = Object.entries(expression) as [[string, [Expression, Expression]]];
    return apply[operator]!(value(a, given), value(b, given)) >>> 0;
  };
  const word = fc.nat(0xffff_ffff);
  const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 4 },
      word,
      fc.constant(mark),
      fc
        .tuple(fc.constantFrom('|', '&', '^'), tie('expression'), tie('expression'))
        .map(([operator, a, b]) => ({ [operator]: [a, b] }) as Expression),
    ),
  }));

  it('are never fewer than those that change', () => {
    fc.assert(
      fc.property(expression, word, (any, before) => {
        const changed = (value(any, before) ^ before) >>> 0;
        expect((changed & ~bitsWritten(any, 'meta')) >>> 0).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });
});

const rule = (table: string, ...expr: object[]): object => ({
  rule: { family: 'ip', table, chain: 'c', handle: 7, expr },
});

describe('a listed ruleset', () => {
  it('names table, chain and rule of what writes a mark, and leaves out our own', () => {
    const set = { mangle: { key: mark, value: { '|': [mark, 0x10] } } };
    const save = { mangle: { key: connectionMark, value: mark } };
    const other = { mangle: { key: { ip: { field: 'dscp' } }, value: 1 } };
    expect(
      nftWriters([rule('foo', set, save, other), rule('sluice_a', set), { table: {} }] as never),
    ).toEqual([
      { where: 'nftables: table ip foo, chain c, rule with handle 7', mark: 'packet', bits: 0x10 },
      { where: 'nftables: table ip foo, chain c, rule with handle 7', mark: 'connection', bits: 0xffff_ffff },
    ]);
  });

  it('says when iptables must be asked', () => {
    const target = (name: string): object => ({ xt: { type: 'target', name } });
    expect(hasIptablesTargets([rule('nat', target('MARK'))] as never)).toBe(true);
    expect(hasIptablesTargets([rule('nat', target('REDIRECT'))] as never)).toBe(false);
  });
});

describe('what iptables-save prints', () => {
  it.each<[string, string, number]>([
    ['-j MARK --set-xmark 0x4000/0x4000', 'packet', 0x4000],
    ['-j MARK --set-xmark 0x4000/0x0', 'packet', 0x4000],
    ['-m comment --comment "a b" -j MARK --set-xmark 0x7/0xffffffff', 'packet', 0xffff_ffff],
    ['-p tcp -j TPROXY --on-port 80 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1', 'packet', 1],
    ['-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff', 'packet', 0xff],
    ['-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff', 'connection', 0xffff_ffff],
    ['-j CONNMARK --set-xmark 0x100/0x100', 'connection', 0x100],
  ])('%s', (text, written, bits) => {
    const [writer] = iptablesWriters(
      `*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING ${text}\nCOMMIT\n`,
      'iptables-nft',
    );
    expect(writer).toEqual({ where: `iptables-nft -t mangle: -A PREROUTING ${text}`, mark: written, bits });
  });

  it('has rules that write no mark, and our own', () => {
    expect(
      iptablesWriters(
        '*nat\n-A KUBE-X -m mark --mark 0x4000/0x4000 -j RETURN\n-A SLUICE-Q -j MARK --set-xmark 0x1/0x1',
        'x',
      ),
    ).toEqual([]);
  });
});
