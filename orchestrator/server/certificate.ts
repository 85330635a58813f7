/** Makes the server's certificate: self-signed, because everyone knows it by its fingerprint alone. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Clients compare the fingerprint and nothing else, so an early end would only be a trap. */
const YEARS = 30;

/** @returns key and certificate as one PEM text. */
export async function makeCertificate(now: number): Promise<string> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=sluice-server',
    // An hour back, for nodes whose clocks are a little behind.
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + YEARS * 365 * 86_400_000),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new x509.BasicConstraintsExtension(false, undefined, true)],
  });
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n${certificate.toString('pem')}\n`;
}
