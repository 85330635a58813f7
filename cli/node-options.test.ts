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

describe('requireUplink', () => {
  it('asks for one by name', () => {
    expect(() => requireUplink({ uplink: undefined })).toThrow(/which interface/);
  });
});
