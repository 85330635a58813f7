import type { Ipv4 } from '../../model/addresses.ts';
import { createEchoes, type Shot } from './echoes.ts';

const B = '10.64.4.1' as Ipv4;
const echoOf = ({ id, kind }: Shot) => ({ type: 'echo', kind, id, receivedAt: 5n }) as const;

describe('answers to probes', () => {
  it('count when they come from the peer, for what is under way', async () => {
    const echoes = createEchoes();
    const shot = echoes.expect('valid', B);
    echoes.heard({ ...echoOf(shot), id: '00'.repeat(16) }, B);
    echoes.heard(echoOf(shot), '10.64.8.1' as Ipv4);
    echoes.heard({ ...echoOf(shot), kind: 'forged' }, B);
    expect(await shot.answered(1)).toBe(false);
    const soon = shot.answered(5_000);
    echoes.heard(echoOf(shot), B);
    expect(await soon).toBe(true);
    expect(shot.receivedAt).toBe(5n);
  });

  it('are not believed when they come too late', async () => {
    const echoes = createEchoes();
    const shot = echoes.expect('forged', B);
    echoes.forget([shot]);
    echoes.heard(echoOf(shot), B);
    expect(await shot.answered(0)).toBe(false);
  });
});
