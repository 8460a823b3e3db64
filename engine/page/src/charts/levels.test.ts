import { expect, test } from 'vitest';
import { Column } from '../live/column';
import type { Chart } from '../live/store';
import { alarmsOf, levelOf, type Limits } from './levels';

const limits: Limits = {
  thresholds: [
    { at: 80, severity: 'warn', label: 'warm' },
    { at: 90, severity: 'alarm' },
    { at: 5, severity: 'alarm', side: 'below', label: 'cold' },
  ],
  bands: [{ from: 20, to: 40, severity: 'ok', label: 'comfort' }],
};

test('the worst of what holds counts; limits belong to what is beyond them', () => {
  expect([3, 5, 6, 20, 39.9, 40, 80, 90].map((v) => levelOf(v, limits))).toEqual([
    { severity: 'alarm', label: 'cold (≤ 5)' },
    { severity: 'alarm', label: 'cold (≤ 5)' },
    undefined,
    { severity: 'ok', label: 'comfort' },
    { severity: 'ok', label: 'comfort' },
    undefined,
    { severity: 'warn', label: 'warm (≥ 80)' },
    { severity: 'alarm', label: '≥ 90' },
  ]);
});

function chart(...values: number[]): Chart {
  const column = new Column(1e9, 1e6);
  values.forEach((v, i) => column.insert(i, v));
  const line = { key: 'm', unit: 'C', index: 0, column, staged: undefined, still: undefined, hidden: false };
  return { ...limits, id: 'c', title: 'T', lines: [line] } as unknown as Chart;
}

test('an alarm is a mark when it begins', () => {
  const marks = alarmsOf(chart(95, 50, 91, 99, NaN, 92, 70, 4, 3));
  expect(marks.map((m) => [m.time, m.kind, m.text])).toEqual([
    [2, 'alarm', 'T · m: 91 C, ≥ 90'],
    [7, 'alarm', 'T · m: 4 C, cold (≤ 5)'],
  ]);
});

test('alarms are bounded, the newest stay', () => {
  const marks = alarmsOf(chart(...Array.from({ length: 1000 }, (_, i) => (i % 2 ? 95 : 50))));
  expect(marks.length).toBe(32);
  expect(marks.at(-1)?.time).toBe(999);
});
