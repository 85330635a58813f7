import { createOomBook } from './oom.ts';

const KNOWN = false;
const NEW = true;

it('tells of kills once, and only of new ones', () => {
  const book = createOomBook<string>();
  const looks = [2, 2, 3, 3, 7].map((kills) => book.look('c', kills, KNOWN)?.kills);
  expect(looks).toEqual([undefined, undefined, 1, undefined, 4]);
  expect(book.total('c')).toBe(5);
});

it('counts what happened to a new container before the first look', () => {
  expect(createOomBook<string>().look('c', 2, NEW)).toEqual({ container: 'c', kills: 2, total: 2 });
});

it('goes on when the group is made anew, or is away for a while', () => {
  const book = createOomBook<string>();
  const looks = [0, 3, undefined, 1, 1].map((kills) => book.look('c', kills, NEW)?.kills);
  expect(looks).toEqual([undefined, 3, undefined, 1, undefined]);
  expect(book.total('c')).toBe(4);
});

it('keeps containers apart', () => {
  const book = createOomBook<string>();
  book.look('a', 5, NEW);
  expect(book.look('b', 1, NEW)).toMatchObject({ total: 1 });
  book.forget('a');
  expect(book.total('a')).toBe(0);
});
