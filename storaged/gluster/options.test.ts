import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import type { Ipv4 } from '../../model/addresses.ts';
import { accessList, CLUSTER_OPTIONS, differing, volumeOptions } from './options.ts';

const host = '192.0.2.1' as Ipv4;

describe('options of volumes', () => {
  it('are those that docs/gluster.md gives the reasons of, with their values', () => {
    const text = readFileSync(new URL('../../docs/gluster.md', import.meta.url), 'utf8');
    const section = text.slice(text.indexOf('## Options'), text.indexOf('## TLS'));
    const documented = Object.fromEntries(
      [...section.matchAll(/^\| `([\w.-]+)` \| ([^`]*?) \|/gm)].map(([, name = '', value]) => [name, value]),
    );
    const { 'auth.allow': allowed, ...all } = {
      ...CLUSTER_OPTIONS,
      ...volumeOptions({ hosts: [host], tls: true }),
    };
    expect(allowed).toBe(host);
    expect(documented).toEqual({ ...all, 'auth.allow': 'addresses' });
    const inVolfiles = [...section.matchAll(/^\| `(\w+\/[\w-]+)` \| `([\w.-]+)` \| (.*?) \|/gm)];
    const leftOut = [...section.matchAll(/^\| `(performance\/[\w-]+)` \| [^`]/gm)];
    const source = readFileSync(new URL('../glusterd/filter.c', import.meta.url), 'utf8');
    expect(inVolfiles.map(([, ...option]) => option)).toEqual(
      [...source.matchAll(/^ {4}\{"(.*?)", "(.*?)", "(.*?)"\},$/gm)].map(([, ...option]) => option),
    );
    expect(leftOut.map(([, type]) => type)).toEqual(
      [...source.matchAll(/^ {4}"(performance\/.*?)",$/gm)].map(([, type]) => type),
    );
    expect([inVolfiles.length > 10, leftOut.length]).toEqual([true, 4]);
  });

  it('differ between volumes by nothing but who may mount them', () => {
    const one = volumeOptions({ hosts: [host], tls: false });
    const other = volumeOptions({ hosts: [], tls: false });
    expect(Object.keys(differing(one, other))).toEqual(['auth.allow']);
  });

  it('let nobody in where no host has asked', () => {
    expect(accessList([])).toBe('255.255.255.255');
    expect(accessList(['192.0.2.9' as Ipv4, host, host])).toBe('192.0.2.1,192.0.2.9');
  });
});
