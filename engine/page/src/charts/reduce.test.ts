import { expect, test } from 'vitest';
import { Column } from '../live/column';
import { barStep, reduce } from './reduce';

function filled(...points: [number, number][]): Column {
  const c = new Column(1e9, 1000);
  for (const [t, v] of points) c.insert(t, v);
  return c;
}

test('values are gathered in stretches that begin at multiples of their length', () => {
  const c = filled([5, 100], [10, 1], [19, 3], [20, 7], [45, 2]);
  expect(reduce(c, 12, 45, 10)).toEqual([
    { t: 10, min: 1, avg: 2, max: 3, gap: false },
    { t: 20, min: 7, avg: 7, max: 7, gap: false },
    { t: 40, min: 2, avg: 2, max: 2, gap: false },
  ]);
});

test('a break of the line is told by the stretch behind it', () => {
  const c = filled([10, 1]);
  c.break();
  c.insert(20, 2);
  expect(reduce(c, 0, 100, 10).map((b) => b.gap)).toEqual([false, true]);
});

test('the mean is that of all values of a stretch', () => {
  const c = filled(...Array.from({ length: 100 }, (_, i): [number, number] => [i, i]));
  expect(reduce(c, 0, 99, 100)[0]?.avg).toBeCloseTo(49.5);
});

test('bars last as long as people count in, and are not too many', () => {
  expect(barStep(600_000, 60)).toBe(10_000);
  expect(barStep(600_000, 59)).toBe(20_000);
  expect(barStep(1000, 50)).toBe(1000);
  expect(barStep(1e12, 10)).toBe(168 * 3_600_000);
});
