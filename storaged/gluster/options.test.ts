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
      [...section.matchAll(/^\| `([\w.-]+)` \| (.*?) \|/gm)].map(([, name = '', value]) => [name, value]),
    );
    const { 'auth.allow': allowed, ...all } = {
      ...CLUSTER_OPTIONS,
      ...volumeOptions({ replicated: true, hosts: [host], tls: true }),
    };
    expect(allowed).toBe(host);
    expect(documented).toEqual({ ...all, 'auth.allow': 'addresses' });
  });

  it('differ between volumes by nothing that their bricks see, but where they hold copies', () => {
    const one = volumeOptions({ replicated: true, hosts: [host], tls: false });
    const other = volumeOptions({ replicated: true, hosts: [], tls: false });
    expect(Object.keys(differing(one, other))).toEqual(['auth.allow']);
  });

  it('let nobody in where no host has asked', () => {
    expect(accessList([])).toBe('255.255.255.255');
    expect(accessList(['192.0.2.9' as Ipv4, host, host])).toBe('192.0.2.1,192.0.2.9');
  });
});
