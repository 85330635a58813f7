/** Exchanges two names of one directory as fast as the kernel can (renameat2(2)), until it is killed. */
import koffi from 'koffi';

const renameat2 = koffi
  .load('libc.so.6')
  .func('int renameat2(int from, const char *old, int to, const char *fresh, unsigned int flags)');
/** fcntl.h, linux/fs.h */
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

const [, , one = '', other = ''] = process.argv;
for (;;) renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
