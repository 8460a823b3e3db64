import { expect, test } from 'vitest';
import { cluster, kindOf, within } from './marks';

const mark = (time: number, kind: string) => ({ id: String(time), time, kind, text: '' });

test('marks that are close share a symbol; an alarm is not hidden', () => {
  const got = cluster([mark(0, 'start'), mark(5, 'alarm'), mark(9, 'reload'), mark(40, 'replay')], (t) => t, 8);
  expect(got.map((c) => [c.kind, c.marks.length, c.x])).toEqual([
    ['alarm', 3, 9],
    ['replay', 1, 40],
  ]);
});

test('a kind of a later version is a mark all the same', () => {
  expect(kindOf(mark(1, 'eclipse'))).toBe('other');
});

test('only marks of the time shown are drawn', () => {
  expect(within([mark(1, 'start'), mark(5, 'start'), mark(9, 'start')], 2, 9).map((m) => m.time)).toEqual([5, 9]);
});
