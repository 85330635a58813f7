import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr } from '../model/addresses.ts';
import type { KeyBits } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import { silentLog } from '../model/log.ts';
import type { KeyEpoch } from '../model/names.ts';
import {
  desiredCluster,
  loadSettings,
  type PlaneSettings,
  saveSettings,
  settingsFileOf,
} from './settings.ts';

const KEY = '000102030405060708090a0b0c0d0e0f' as KeyBits;
const SETTINGS: PlaneSettings = {
  internalPool: '10.64.0.0/12' as Cidr,
  ownBlock: '10.64.4.0/22' as Cidr,
  keys: { current: 2 as KeyEpoch, keys: [{ epoch: 2 as KeyEpoch, key: KEY }] },
};

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-settings-'));
  file = settingsFileOf(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the saved settings', () => {
  it('come back as they were, from a file that only root can read', () => {
    saveSettings(file, SETTINGS);
    expect(loadSettings(file, silentLog)).toEqual(SETTINGS);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('are none before the first', () => {
    expect(loadSettings(file, silentLog)).toBeUndefined();
  });

  it.each(['', '{', '{"internalPool":"10.64.0.0/12"}', '[]'])(
    'are none when the file is damaged: %j',
    (damaged) => {
      writeFileSync(file, damaged);
      expect(loadSettings(file, silentLog)).toBeUndefined();
    },
  );

  it('are never quoted in the log, because they hold keys', () => {
    saveSettings(file, SETTINGS);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"ownBlock"', '"other"'));
    const lines: unknown[] = [];
    const log: Log = { ...silentLog, warn: (...line) => lines.push(line) };
    loadSettings(file, log);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines)).not.toContain(KEY);
  });

  it('become what the planner wants', () => {
    const { internalPool, ownBlock } = SETTINGS;
    expect(desiredCluster(SETTINGS)).toEqual({
      conf: { internalPool, ownBlock, epoch: 2 },
      keys: new Map([[2, KEY]]),
    });
    expect(desiredCluster(undefined)).toBeUndefined();
  });
});
