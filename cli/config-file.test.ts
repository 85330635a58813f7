import { SluiceError } from '../model/errors.ts';
import { parseConfig } from './config-file.ts';

function faultsIn(text: string): string[] {
  try {
    parseConfig(text, 'sluice.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError);
    expect((error as SluiceError).code).toBe('invalid_request');
    return (error as SluiceError).message.split('\n');
  }
  return [];
}

describe('parseConfig', () => {
  it('fills in every default, also for an empty file', () => {
    expect(parseConfig('', 'sluice.yaml').network.blockPrefix).toBe(22);
    expect(parseConfig('# nothing yet\n', 'sluice.yaml').log).toBe('info');
  });

  it('reads what is written', () => {
    const config = parseConfig('node: a\nnetwork:\n  internalPool: 10.96.0.0/12\n', 'sluice.yaml');
    expect(config).toMatchObject({ node: 'a', network: { internalPool: '10.96.0.0/12', blockPrefix: 22 } });
  });

  it('names the key and the line of a wrong value', () => {
    const [fault] = faultsIn('node: a\nnetwork:\n  blockPrefix: 40\n');
    expect(fault).toMatch(/^sluice\.yaml:3: network\.blockPrefix: /);
  });

  it('names unknown keys one by one, each with its line', () => {
    expect(faultsIn('nodes: a\nnetwork:\n  internalPol: 10.0.0.0/8\n  externalPol: 10.0.0.0/8\n')).toEqual([
      'sluice.yaml:3: network.internalPol: there is no such key',
      'sluice.yaml:4: network.externalPol: there is no such key',
      'sluice.yaml:1: nodes: there is no such key',
    ]);
  });

  it('points at the parent of an element that is wrong', () => {
    const [fault] = faultsIn('network:\n  allowedEtherTypes: [1]\n');
    expect(fault).toMatch(/^sluice\.yaml:2: network\.allowedEtherTypes\.0: /);
  });

  it('gives the line where the text is no YAML', () => {
    expect(faultsIn('node: a\nuplink: [\n')[0]).toMatch(/^sluice\.yaml:3: /);
  });

  it('refuses a file that is no map', () => {
    expect(faultsIn('- a\n- b\n')).toHaveLength(1);
  });
});
