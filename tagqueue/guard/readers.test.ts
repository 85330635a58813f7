import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { clientHello, dnsQuestion, tlsRecords } from '../../test/support/hellos.ts';
import { readClientHello } from './client-hello.ts';
import { readDns, readDnsStream } from './dns.ts';
import { readHttp } from './http.ts';
import { recogniseDatagram, recogniseStream } from './recognise.ts';
import { readSsh } from './ssh.ts';
import { readTls } from './tls.ts';

const found = (domain: string | null): object => ({ state: 'found', domain });
const NO = { state: 'no' };

/** What this machine's OpenSSL says first to a server of this name. */
async function opensslHello(servername: string): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername });
  client.on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

describe('a TLS ClientHello', () => {
  it('names whom it is for', () => {
    expect(readTls(tlsRecords(clientHello({ name: 'Blue.Example.COM' })))).toEqual(found('blue.example.com'));
  });

  it('of a real client is read', async () => {
    expect(readTls(await opensslHello('blue.example'))).toEqual(found('blue.example'));
  });

  it('may name nobody, or an address, which is no name', () => {
    expect(readTls(tlsRecords(clientHello({})))).toEqual(found(null));
    expect(readTls(tlsRecords(clientHello({ name: '192.0.2.7' })))).toEqual(found(null));
    expect(readTls(tlsRecords(clientHello({ name: 'two words' })))).toEqual(found(null));
  });

  it('is read past GREASE, and by its outer name where an inner one is encrypted', () => {
    const extensions = [
      { type: 0x0a0a, data: Buffer.alloc(0) },
      { type: 0xfe0d, data: Buffer.alloc(200, 7) },
    ];
    expect(readTls(tlsRecords(clientHello({ name: 'outer.example', extensions })))).toEqual(
      found('outer.example'),
    );
  });

  it('is put together from records of any size', () => {
    const hello = clientHello({ name: 'blue.example' });
    for (const size of [1, 2, 3, 4, 5, 50, 1_000])
      expect(readTls(tlsRecords(hello, size))).toEqual(found('blue.example'));
  });

  it('asks for more at every cut, never for less than is there, and never for ever', () => {
    const whole = tlsRecords(clientHello({ name: 'blue.example' }), 40);
    for (let length = 0; length < whole.length; length++) {
      const glimpse = readTls(whole.subarray(0, length));
      expect(glimpse).toMatchObject({ state: 'more' });
      if (glimpse.state !== 'more') continue;
      expect(glimpse.bytes).toBeGreaterThan(length);
      expect(glimpse.bytes).toBeLessThanOrEqual(whole.length);
    }
  });

  it('is none with two names, with a length that lies, or with empty records', () => {
    const twice = { name: 'one.example', extensions: [{ type: 0, data: Buffer.from([0, 0]) }] };
    expect(readTls(tlsRecords(clientHello(twice)))).toEqual(NO);
    const hello = clientHello({ name: 'one.example' });
    hello[38] = 200;
    expect(readTls(tlsRecords(hello))).toEqual(NO);
    expect(readTls(Buffer.from([22, 3, 1, 0, 0]))).toEqual(NO);
    const huge = Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
    expect(readTls(huge)).toEqual(NO);
  });
});

describe('an HTTP request', () => {
  const get = (more: string, target = '/'): Buffer =>
    Buffer.from(`GET ${target} HTTP/1.1\r\n${more}\r\n\r\n`);

  it('names its host, however it is written', () => {
    expect(readHttp(get('Host: Blue.Example:8080'))).toEqual(found('blue.example'));
    expect(readHttp(get('Accept: */*\r\nhOsT:blue.example'))).toEqual(found('blue.example'));
    expect(readHttp(get('Host: blue.example', 'http://blue.example/x'))).toEqual(found('blue.example'));
    expect(readHttp(Buffer.from('GET / HTTP/1.1\nHost: blue.example\n\n'))).toEqual(found('blue.example'));
  });

  it('names nobody where servers could read it in two ways', () => {
    const doubtful = [
      get('Host: a.example\r\nHost: b.example'),
      get('Host: a.example', 'http://b.example/'),
      get('Host : a.example'),
      get('Host: a.example\r\n b.example'),
      get('Host: 192.0.2.7'),
      get('Accept: */*'),
    ];
    for (const request of doubtful) expect(readHttp(request)).toEqual(found(null));
  });

  it('is waited for to the end of its head, and no longer than that may be', () => {
    const whole = get('Host: blue.example');
    for (let length = 0; length < whole.length; length++)
      expect(readHttp(whole.subarray(0, length))).toMatchObject({ state: 'more' });
    expect(readHttp(Buffer.from(`GET /${'x'.repeat(9_000)}`))).toEqual(NO);
    expect(readHttp(Buffer.from('GET /\r\nHost: a.example\r\n\r\n'))).toEqual(NO);
    expect(readHttp(Buffer.from('HELO blue.example\r\n'))).toEqual(NO);
  });

  it('of HTTP/2 without TLS is HTTP, and its names are out of sight', () => {
    expect(readHttp(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toEqual(found(null));
  });
});

describe('a DNS question', () => {
  it('names what it asks for, in a datagram and in a stream', () => {
    const question = dnsQuestion('WWW.Blue.example');
    expect(readDns(question)).toEqual(found('www.blue.example'));
    const stream = Buffer.concat([Buffer.from([0, question.length]), question]);
    expect(readDnsStream(stream)).toEqual(found('www.blue.example'));
    for (let length = 0; length < stream.length; length++)
      expect(readDnsStream(stream.subarray(0, length))).toMatchObject({ state: 'more' });
  });

  it('is none when it is an answer, asks two things, points somewhere, or hides a dot in a label', () => {
    const question = dnsQuestion('blue.example');
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(question);
      copy[at] = value;
      return copy;
    };
    expect(readDns(changed(2, 0x80))).toEqual(NO);
    expect(readDns(changed(5, 2))).toEqual(NO);
    expect(readDns(changed(12, 0xc0))).toEqual(NO);
    expect(readDns(changed(14, 0x2e))).toEqual(found(null));
    expect(readDns(question.subarray(0, question.length - 1))).toEqual(NO);
  });
});

describe('recognition', () => {
  it('tells protocols apart by their first bytes, and knows when there is nothing to know', () => {
    expect(readSsh(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'))).toEqual(found(null));
    expect(recogniseStream(Buffer.from('SSH-2.0-x\n'), 22)?.protocol).toBe('ssh');
    expect(recogniseStream(tlsRecords(clientHello({ name: 'a.example' })), 443)?.protocol).toBe('tls');
    expect(recogniseStream(Buffer.from('EHLO'), 25)).toEqual({ protocol: 'other', domain: null });
    expect(recogniseStream(Buffer.from('S'), 22)).toBeUndefined();
    expect(recogniseStream(Buffer.alloc(0), 22)).toBeUndefined();
    expect(recogniseDatagram(dnsQuestion('a.example'))).toEqual({ protocol: 'dns', domain: 'a.example' });
    expect(recogniseDatagram(Buffer.from('hello'))).toEqual({ protocol: 'other', domain: null });
  });

  it('takes any bytes, begun like something or not, without throwing', () => {
    const starts = [
      Buffer.alloc(0),
      Buffer.from([22, 3, 1]),
      Buffer.from('GET / HTTP/1.1\r\n'),
      Buffer.from('SSH-2.0-'),
      tlsRecords(clientHello({ name: 'a.example' })),
      dnsQuestion('a.example'),
    ];
    const bytes = fc
      .tuple(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 300 }), fc.nat(400), fc.nat(255))
      .map(([start, rest, at, value]) => {
        const all = Buffer.concat([start, rest]);
        if (at < all.length) all[at] = value;
        return all;
      });
    fc.assert(
      fc.property(bytes, fc.constantFrom(53, 80, 443), (all, port) => {
        recogniseStream(all, port);
        recogniseDatagram(all);
        readClientHello(all);
        const glimpse = readTls(all);
        if (glimpse.state === 'more') expect(glimpse.bytes).toBeGreaterThan(all.length);
      }),
      { numRuns: 2_000 },
    );
  });
});
