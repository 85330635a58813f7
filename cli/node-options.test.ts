import { Config } from '../model/config.ts';
import { nodeOptions, requireUplink } from './node-options.ts';

const config = (values: object = {}): Config => Config.parse(values);

describe('nodeOptions', () => {
  it('prefers flags to the configuration, and the configuration to the machine', () => {
    expect(nodeOptions({ node: 'a' }, config({ node: 'b' }), 'host').node).toBe('a');
    expect(nodeOptions({}, config({ node: 'b' }), 'host').node).toBe('b');
    expect(nodeOptions({}, config(), 'Host.example.org').node).toBe('host');
  });

  it('names the flag that is wrong', () => {
    expect(() => nodeOptions({ node: '../a' }, config(), 'host')).toThrow(/--node "\.\.\/a": a node name/);
    expect(() => nodeOptions({ uplink: 'e'.repeat(16) }, config(), 'host')).toThrow(/--uplink/);
    expect(() => nodeOptions({ listen: 'here:80' }, config(), 'host')).toThrow(/--listen/);
  });

  it('refuses a host name that makes no node name', () => {
    expect(() => nodeOptions({}, config(), '_')).toThrow(/does not make a node name/);
  });

  it('lets a flag for one of listen and join override the other in the configuration', () => {
    const joined = nodeOptions({ join: '192.0.2.1:7070' }, config({ listen: '192.0.2.2:7070' }), 'host');
    expect(joined).toMatchObject({ join: '192.0.2.1:7070', listen: undefined });
    const serving = nodeOptions({ listen: '192.0.2.2:7070' }, config({ join: '192.0.2.1:7070' }), 'host');
    expect(serving).toMatchObject({ join: undefined, listen: '192.0.2.2:7070' });
  });

  it('refuses both at once', () => {
    const both = { listen: '192.0.2.1:7070', join: '192.0.2.2:7070' };
    expect(() => nodeOptions(both, config(), 'host')).toThrow(/only one|either/);
    expect(() => nodeOptions({}, config(both), 'host')).toThrow(/either/);
  });
});

describe('zone and labels', () => {
  it('come from flags, all of them, else from the configuration', () => {
    const configured = config({ zone: 'hall-1', labels: { disk: 'ssd' } });
    expect(nodeOptions({}, configured, 'host')).toMatchObject({ zone: 'hall-1', labels: { disk: 'ssd' } });
    const flagged = nodeOptions({ zone: 'hall-2', label: ['cpu=new', 'gpu=no'] }, configured, 'host');
    expect(flagged).toMatchObject({ zone: 'hall-2', labels: { cpu: 'new', gpu: 'no' } });
    expect(nodeOptions({}, config(), 'host')).toMatchObject({ zone: undefined, labels: {} });
  });

  it('are refused when they are no words', () => {
    for (const label of ['ssd', '=ssd', 'disk=', 'disk=a b'])
      expect(() => nodeOptions({ label: [label] }, config(), 'host')).toThrow(/--label/);
    expect(() => nodeOptions({ zone: '../a' }, config(), 'host')).toThrow(/--zone/);
  });
});

describe('requireUplink', () => {
  it('asks for one by name', () => {
    expect(() => requireUplink({ uplink: undefined })).toThrow(/which interface/);
  });
});
