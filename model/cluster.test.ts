import { NODE_A, NODE_B, SETTINGS } from '../test/support/samples.ts';
import { type CarrierChoice, ClusterNode, ClusterSettings, effectiveCarrier } from './cluster.ts';
import type { NodeName } from './names.ts';

const withNodes = (carrier: CarrierChoice, ...nodes: ClusterNode[]): ReturnType<typeof effectiveCarrier> =>
  effectiveCarrier({
    settings: { ...SETTINGS, carrier },
    nodes: new Map<NodeName, ClusterNode>(nodes.map((one) => [one.node, one])),
  });

describe('the carrier that is sent', () => {
  const card = { ...NODE_B, nic: true };

  it('is the option, unless a network card is among the uplinks', () => {
    expect(withNodes('auto')).toBe('option');
    expect(withNodes('auto', NODE_A, NODE_B)).toBe('option');
    expect(withNodes('auto', NODE_A, card)).toBe('vxlan');
  });

  it('is the one that an operator has chosen', () => {
    expect(withNodes('option', NODE_A, card)).toBe('option');
    expect(withNodes('vxlan', NODE_A)).toBe('vxlan');
  });
});

describe('records of a version without carriers and fencing', () => {
  it('are read as what they meant', () => {
    const { carrier: _carrier, ...settings } = SETTINGS;
    const { nic: _nic, fenced: _fenced, ...node } = NODE_A;
    expect(ClusterSettings.parse(settings)).toEqual(SETTINGS);
    expect(ClusterNode.parse(node)).toEqual(NODE_A);
  });
});
