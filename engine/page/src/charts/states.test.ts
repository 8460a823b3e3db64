import { expect, test } from 'vitest';
import { Column } from '../live/column';
import type { Band } from '../live/store';
import { runsOf, stateOf } from './states';

const bands: Band[] = [{ from: 0, to: 10, severity: 'ok', label: 'dark' }, { from: 10, to: 1000, severity: 'warn', label: 'lit' }];

function filled(...points: [number, number][]): Column {
  const c = new Column(1e9, 1000);
  for (const [t, v] of points) c.insert(t, v);
  return c;
}

test('equal states are one run; the last holds until the end', () => {
  const runs = runsOf(filled([10, 1], [20, 3], [30, 50], [40, 2]), 0, 100, bands);
  expect(runs.map((r) => [r.from, r.to, r.name])).toEqual([
    [10, 30, 'dark'],
    [30, 40, 'lit'],
    [40, 100, 'dark'],
  ]);
});

test('the state at the beginning is that of the point before', () => {
  expect(runsOf(filled([10, 1], [50, 1]), 30, 60, [])).toEqual([{ from: 30, to: 60, name: '1', severity: undefined }]);
});

test('a break ends a state', () => {
  const c = filled([10, 1], [20, 1]);
  c.break();
  c.insert(40, 1);
  expect(runsOf(c, 0, 50, []).map((r) => [r.from, r.to])).toEqual([
    [10, 20],
    [40, 50],
  ]);
});

test('a value without a band is its own name', () => {
  expect(stateOf(0.1 + 0.2, []).name).toBe('0.3');
  expect(stateOf(-1, bands)).toEqual({ name: '-1', severity: undefined });
});
