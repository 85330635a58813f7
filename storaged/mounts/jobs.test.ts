import { mountNamespaceOf } from './jobs.ts';

describe('the mount namespace of a process', () => {
  it('is a number', () => {
    expect(mountNamespaceOf(process.pid)).toBeGreaterThan(0);
  });

  it('that is gone is not found', () => {
    expect(() => mountNamespaceOf(2 ** 22 + 1)).toThrow(expect.objectContaining({ code: 'not_found' }));
  });

  it('that may not be looked at is refused by the kernel, by name', () => {
    const refuse = (): never => {
      throw Object.assign(new Error("EACCES: permission denied, stat '/proc/1/ns/mnt'"), { code: 'EACCES' });
    };
    expect(() => mountNamespaceOf(1, refuse)).toThrow(
      expect.objectContaining({ code: 'kernel_refused', message: expect.stringContaining('process 1 ') }),
    );
  });
});
