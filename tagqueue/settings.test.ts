import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr, Ipv4 } from '../model/addresses.ts';
import type { KeyBits } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import { silentLog } from '../model/log.ts';
import { DEFAULT_MARK_MASK } from '../model/mark.ts';
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
  uplinkAddress: '192.0.2.2' as Ipv4,
  keys: { current: 2 as KeyEpoch, keys: [{ epoch: 2 as KeyEpoch, key: KEY }] },
  carrier: 'vxlan',
  fenced: false,
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

  it('of a version that knew one carrier and no fencing are taken as they were meant', () => {
    const { carrier: _carrier, fenced: _fenced, ...old } = SETTINGS;
    writeFileSync(file, JSON.stringify(old));
    expect(loadSettings(file, silentLog)).toEqual({ ...SETTINGS, carrier: 'option' });
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
    const { keys, fenced: _, ...cluster } = SETTINGS;
    const local = { uplink: 3, markMask: DEFAULT_MARK_MASK, vxlanPort: 4789, fastPath: true, card: false };
    expect(desiredCluster(SETTINGS, local)).toEqual({
      conf: { ...cluster, ...local, epoch: keys.current, pool6: undefined },
      keys: new Map([[2, KEY]]),
    });
    expect(desiredCluster(undefined, local)).toBeUndefined();
  });
});
