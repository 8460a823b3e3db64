import { expect, test } from 'vitest';
import { yRange } from './scale';

const at = (...limits: number[]) => limits.map((l) => ({ at: l, severity: 'warn' as const }));

test('values have a little room', () => {
  expect(yRange(0, 100, 'line', [])).toEqual([-8, 108]);
  expect(yRange(20, 20, 'line', [])).toEqual([19, 21]);
  expect(yRange(0, 0, 'line', [])).toEqual([-1, 1]);
  expect(yRange(Infinity, -Infinity, 'line', [])).toEqual([0, 1]);
});

test('a threshold near the values is shown, one far away is not', () => {
  expect(yRange(0, 100, 'line', at(150))[1]).toBe(162);
  expect(yRange(0, 100, 'line', at(1000, -500))).toEqual([-8, 108]);
});

test('bars stand on zero', () => {
  expect(yRange(50, 100, 'bar', [])).toEqual([0, 108]);
  expect(yRange(-100, -50, 'bar', [])).toEqual([-108, 0]);
});

test('an area begins at zero if that presses nothing flat', () => {
  expect(yRange(20, 100, 'area', [])[0]).toBe(0);
  expect(yRange(95, 100, 'area', [])[0]).toBeGreaterThan(90);
});
