import { placesOf, socketOf } from './places.ts';

describe('placesOf', () => {
  it('takes what the environment says, as absolute paths', () => {
    const places = placesOf({ SLUICE_RUN_DIR: 'run', SLUICE_STATE_DIR: '/state/', SLUICE_CONFIG: '/c.yaml' });
    expect(places).toEqual({
      runDir: `${process.cwd()}/run`,
      stateDir: '/state',
      configFile: '/c.yaml',
      configNamed: true,
    });
    expect(socketOf(places, 'netd')).toBe(`${process.cwd()}/run/netd.sock`);
  });

  it('takes an empty variable for one that is not set', () => {
    expect(placesOf({ SLUICE_RUN_DIR: '', SLUICE_CONFIG: '' })).toMatchObject({
      runDir: '/run/sluice',
      configNamed: false,
    });
  });

  it('refuses the root directory, because what is in these directories gets removed', () => {
    expect(() => placesOf({ SLUICE_STATE_DIR: '/' })).toThrow(/SLUICE_STATE_DIR/);
    expect(() => placesOf({ SLUICE_RUN_DIR: '/tmp/..' })).toThrow(/SLUICE_RUN_DIR/);
  });
});
