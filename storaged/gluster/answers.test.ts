/** Against what Gluster 10.3 has printed in a cluster of four nodes (golden/). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import type { Outcome } from '../../linux/process.ts';
import { healOf, peersOf, statusOf } from './answers.ts';
import { answerOf } from './command.ts';
import type { XmlElement } from './xml.ts';

const golden = (name: string): string => readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8');
/** What is no XML comes on standard error, with an exit code. */
const outcome = (name: string): Outcome =>
  name.endsWith('.xml')
    ? { code: 0, stdout: golden(name), stderr: '' }
    : { code: 1, stdout: '', stderr: golden(name) };
const answer = (name: string): XmlElement => answerOf(['test'], outcome(`${name}.xml`));
const errorOf = (name: string): unknown => {
  try {
    return answerOf(['x'], outcome(name));
  } catch (error) {
    return error;
  }
};

describe('what Gluster answers', () => {
  it('tells peers', () => {
    expect(peersOf(answer('peers'))).toMatchObject([
      { address: '192.0.2.2', connected: true, joined: true },
      { address: '192.0.2.3', connected: true, joined: true },
      { address: '192.0.2.4', connected: true, joined: true },
    ]);
  });

  it('tells which bricks serve and how full they are', () => {
    const up = statusOf(answer('status')).get('v22');
    expect(up).toHaveLength(6);
    expect(up?.[0]).toEqual({
      name: '192.0.2.1:/var/lib/sluice/gluster/bricks/a',
      online: true,
      pid: expect.any(Number),
      fill: {
        totalBytes: 419430400,
        freeBytes: expect.any(Number),
        totalInodes: 3085512,
        freeInodes: expect.any(Number),
      },
    });
    const down = statusOf(answer('status-down')).get('v22');
    expect(down?.map(({ online, pid }) => [online, pid !== null])).toEqual([
      [true, true],
      [false, false],
      [true, true],
      [true, true],
      [true, true],
      [true, true],
    ]);
    expect(statusOf(answer('statnone')).size).toBe(0);
  });

  it('counts what has to be healed once for each replica set, and a brick that is down not at all', () => {
    expect(healOf(answer('healsum'), 3)).toEqual({ pending: 0, splitBrain: 0 });
    expect(healOf(answer('healsum-pending'), 3)).toEqual({ pending: 18, splitBrain: 0 });
  });

  it('takes a harmless remark for success', () => {
    expect(answer('probe-again').name).toBe('cliOutput');
    expect(answer('probe-self').name).toBe('cliOutput');
    expect(answerOf(['volume', 'heal'], { code: 0, stdout: '\n', stderr: '' }).name).toBe('cliOutput');
  });

  it.each([
    ['create-again.xml', 'already_exists', 'Volume v22 already exists'],
    ['create-used.xml', 'already_exists', 'Brick may be containing'],
    ['used2.xml', 'already_exists', 'is already part of a volume'],
    ['nopeer.xml', 'try_again', "not in 'Peer in Cluster' state"],
    ['probe-nobody.xml', 'try_again', 'Transport endpoint is not connected'],
    ['set.xml', 'storage_failed', 'cluster.quorum-typo does not exist'],
    ['status-nothing.xml', 'not_found', 'Volume nothing does not exist'],
    ['infogone.xml', 'not_found', 'Volume does not exist'],
    ['detach2.xml', 'not_found', 'is not part of cluster'],
    ['stop2.xml', 'storage_failed', 'is not in the started state'],
    ['heal-down.txt', 'try_again', "brick op 'Heal' failed"],
  ])('%s is %s', (name, code, words) => {
    expect(errorOf(name)).toMatchObject({ code, message: expect.stringContaining(words) });
  });
});
