import { expect, it } from 'vitest';
import { columnOf, Store, type Line } from './store';

const schema = (id: number, chart: string, key: string) => ({
  name: 'schema',
  id: '',
  data: JSON.stringify({
    charts: [
      { id: chart, title: chart, group: 'g', window_ms: 10_000, max_points: 100, series: [{ id, key, unit: 'C' }] },
    ],
  }),
});
const hello = (time = 5000) => ({
  name: 'hello',
  id: '',
  data: JSON.stringify({ time, pipeline: 'p', version: 'v', embedded: false, epoch: '1' }),
});
const frame = (series: { id: number; t: number[]; v: number[] }[], more = {}) => ({
  name: 'frame',
  id: '1.x',
  data: JSON.stringify({ series, ...more }),
});
const times = (l: Line): number[] => Array.from({ length: l.column.length }, (_, i) => l.column.time(i));
const line = (s: Store, chart: number, i: number): Line => s.charts[chart]?.lines[i] as Line;

it('builds charts from schema and frames, late points in order', () => {
  const s = new Store(() => 4000);
  for (const e of [hello(), schema(0, 'b', 'm1'), schema(1, 'a', 'm2')]) s.take(e);
  s.take(frame([{ id: 0, t: [10, 30, 20], v: [1, 3, 2] }]));
  expect(s.charts.map((c) => c.id)).toEqual(['a', 'b']);
  expect(times(line(s, 1, 0))).toEqual([10, 20, 30]);
  expect(s.serverNow()).toBe(5000);
});

it('keeps lines across connections whose numbers differ', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1'), frame([{ id: 0, t: [10], v: [1] }])]) s.take(e);
  for (const e of [hello(), schema(7, 'a', 'm0'), schema(8, 'a', 'm1'), frame([{ id: 8, t: [20], v: [2] }])]) s.take(e);
  expect(s.charts[0]?.lines.map((l) => l.key)).toEqual(['m1', 'm0']);
  expect(times(line(s, 0, 0))).toEqual([10, 20]);
  s.take(frame([{ id: 0, t: [30], v: [3] }])); // a number of the old connection means nothing
  expect(times(line(s, 0, 0))).toEqual([10, 20]);
});

it('shows a history only once it is whole', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1')]) s.take(e);
  s.take(frame([{ id: 0, t: [10], v: [1] }], { history: true, begin: true }));
  expect(times(line(s, 0, 0))).toEqual([]);
  // cut off here; the next connection begins anew
  for (const e of [hello(), schema(0, 'a', 'm1')]) s.take(e);
  s.take(frame([{ id: 0, t: [10], v: [1] }], { history: true, begin: true }));
  s.take(frame([{ id: 0, t: [20], v: [2] }], { history: true, end: true }));
  expect(times(line(s, 0, 0))).toEqual([10, 20]);
});

it('clears nothing at a reset with an empty history', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1'), frame([{ id: 0, t: [10], v: [1] }])]) s.take(e);
  for (const e of [hello(), { name: 'reset', id: '', data: '{"reason":"x"}' }]) s.take(e);
  s.take({ name: 'schema', id: '', data: '{"charts":[]}' });
  s.take(frame([], { history: true, begin: true, end: true }));
  expect(s.charts.length).toBe(1);
  expect(line(s, 0, 0).column.last()).toEqual({ t: 10, v: 1 });
});

it('counts gaps and breaks the lines', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1'), frame([{ id: 0, t: [10], v: [1] }])]) s.take(e);
  s.take({ name: 'gap', id: '', data: '{"points":7}' });
  s.take(frame([{ id: 0, t: [20], v: [2] }]));
  expect(s.missed).toBe(7);
  expect(line(s, 0, 0).column.value(1)).toBeNaN();
});

it('ignores events of later versions', () => {
  const s = new Store();
  s.take({ name: 'graph', id: '', data: 'not even JSON' });
  expect(s.charts).toEqual([]);
});

it('keeps what is shown while charts are held, and takes in what comes', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1'), frame([{ id: 0, t: [10], v: [1] }])]) s.take(e);
  s.keep();
  s.take(frame([{ id: 0, t: [20_010], v: [2] }])); // one window later
  const shown = columnOf(line(s, 0, 0));
  expect([shown.length, line(s, 0, 0).column.length]).toEqual([2, 1]);
  s.letGo();
  expect(columnOf(line(s, 0, 0)).last()?.v).toBe(2);
});

it('gives a chart another look when its pipeline says so', () => {
  const s = new Store();
  for (const e of [hello(), schema(0, 'a', 'm1'), schema(0, 'a', 'm1')]) s.take(e);
  const before = s.charts[0]?.structure ?? 0;
  const look = { title: 'A', draw: 'bar', thresholds: [{ at: 5, severity: 'warn' }] };
  s.take({ name: 'schema', id: '', data: JSON.stringify({ charts: [{ id: 'a', group: 'g', window_ms: 1, max_points: 1, series: [], ...look }] }) });
  expect(s.charts[0]).toMatchObject(look);
  expect(s.charts[0]?.structure).toBe(before + 1);
  expect(s.charts[0]?.lines.length).toBe(1);
});
