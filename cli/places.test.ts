import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { makeScratchDirectory } from '../linux/directories.ts';
import { placesOf, socketOf } from './places.ts';
import { poolOf } from './storage-choice.ts';

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

  it('follows links, also to what is not there yet, since kernels list mounts without them', () => {
    const scratch = makeScratchDirectory('places');
    try {
      mkdirSync(`${scratch}/real`);
      symlinkSync('real', `${scratch}/link`);
      const places = placesOf({ SLUICE_RUN_DIR: `${scratch}/link`, SLUICE_STATE_DIR: `${scratch}/link/new` });
      expect(places).toMatchObject({ runDir: `${scratch}/real`, stateDir: `${scratch}/real/new` });
      const pool = poolOf(places, { pool: `${scratch}/link/pool` });
      expect(pool).toBe(`${scratch}/real/pool`);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });

  it('refuses the root directory, because what is in these directories gets removed', () => {
    expect(() => placesOf({ SLUICE_STATE_DIR: '/' })).toThrow(/SLUICE_STATE_DIR/);
    expect(() => placesOf({ SLUICE_RUN_DIR: '/tmp/..' })).toThrow(/SLUICE_RUN_DIR/);
  });
});
