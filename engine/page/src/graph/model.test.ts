import { expect, test } from 'vitest';
import type { Graph } from '../live/topics';
import { behind, fit, rate, total, wait } from './figures';
import { items, Rates, type Stats } from './model';
import { after, before, between, rests } from './paths';

const g: Graph = {
  pipeline: 'p',
  nodes: [
    { id: 'src', kind: 'source', type: 'amqp' },
    { id: 'decode', kind: 'transform', type: 'json', stage: 'decode' },
    { id: 'scale', kind: 'plugin', type: 'scale@^1', stage: 'decode' },
    { id: 'rows', kind: 'sink', type: 'sql' },
  ],
  edges: [
    { from: 'src', to: 'decode', stream: 'journal' },
    { from: 'decode', to: 'scale' },
    { from: 'scale', to: 'rows', stream: 'scale' },
  ],
};

function stats(uptime: number, more: Partial<Stats> = {}): Stats {
  return {
    time: '2026-03-01T12:00:00Z', generation: 'live', started: 'then', uptime_seconds: uptime, reasons: [], holds: [],
    nodes: [{ id: 'src', in: uptime * 10, out: uptime * 10, dead_letters: 2 }],
    readers: [
      { reader: 'decode@live', stream: 'journal', lanes: [{ lane: 0, events: 3, seconds: 0.5 }, { lane: 1, events: 4, seconds: 1 }] },
      { reader: 'decode@redrive', stream: 'journal', lanes: [{ lane: 0, events: 900, seconds: 900 }] },
    ],
    ...more,
  };
}

const find = (s: Stats | undefined, key: string) => {
  const { nodes, edges } = items(g, s, new Rates());
  const found = [...nodes, ...edges].find((i) => i.key === key);
  if (!found) throw new Error(key);
  return found;
};

test('a reader is behind by the events of all lanes, and by the longest wait', () => {
  expect(find(stats(1), 'e:src>decode').lag).toEqual({ events: 7, seconds: 1 });
  expect(find(stats(1), 'n:decode').lag).toEqual({ events: 7, seconds: 1 });
  expect(find(stats(1), 'e:decode>scale').lag).toBeUndefined();
});

test('pressure tells whether events pass, wait, are held, or find the log full', () => {
  const slow = stats(1, { readers: [{ reader: 'rows@live', stream: 'scale', lanes: [{ lane: 0, events: 1, seconds: 9 }] }] });
  const held = stats(1, { holds: [{ stage: 'rows', stream: 'scale', lane: 0, reason: 'database is away' }] });
  const full = stats(1, { log: { bytes: 10, max_bytes: 10 } });
  expect(find(undefined, 'n:rows').pressure).toBe('unknown');
  expect(find(stats(1), 'n:rows').pressure).toBe('ok');
  expect(find(slow, 'n:rows').pressure).toBe('waiting');
  expect(find(held, 'e:scale>rows')).toMatchObject({ pressure: 'held', why: ['database is away'] });
  expect(find(held, 'n:rows').pressure).toBe('held');
  expect(find(held, 'n:src').pressure).toBe('ok');
  expect([find(full, 'n:src').pressure, find(full, 'e:src>decode').pressure, find(full, 'n:rows').pressure]).toEqual(['full', 'full', 'ok']);
});

test('a plugin that is not ready holds its node', () => {
  const s = stats(1, { nodes: [{ id: 'scale', plugin: { runs: 'scale@1.0.0#abc', restarts: 1, reason: 'it is started again' } }] });
  expect(find(s, 'n:scale')).toMatchObject({ pressure: 'held', why: ['it is started again'] });
});

test('rates are taken over the last seconds of one engine', () => {
  const r = new Rates();
  expect(r.of('src', 'in')).toBeUndefined();
  for (const at of [1, 2, 2, 3]) r.take(stats(at));
  expect(r.of('src', 'in')).toBe(10);
  expect(r.of('gone', 'in')).toBeUndefined();
  r.take(stats(1, { started: 'anew' }));
  expect(r.of('src', 'in')).toBeUndefined();
});

test('figures keep their width', () => {
  expect([rate(undefined), rate(0), rate(12.34), rate(99.97), rate(12345), rate(2e6)]).toEqual(['–', '0.0', '12.3', '100', '12\u202f345', '2.0M']);
  expect([wait(0.04), wait(9.96), wait(119.6), wait(7300)]).toEqual(['0.0 s', '10 s', '2 min', '2 h']);
  expect([total(12_345_678), behind(undefined), behind({ events: 3, seconds: 1 })]).toEqual(['12.3M', '–', '3 · 1.0 s']);
});

test('a text that is too long is cut, wide letters sooner', () => {
  expect(fit('short', 100, 10)).toBe('short');
  expect(fit('a'.repeat(40), 100, 10)).toBe(`${'a'.repeat(16)}…`);
  expect(fit('가'.repeat(40), 100, 10)).toBe(`${'가'.repeat(9)}…`);
});

test('where events of a node can be seen', () => {
  expect([rests(g, 'src'), rests(g, 'decode'), rests(g, 'scale')]).toEqual([true, false, true]);
  expect([before(g, 'scale'), after(g, 'decode'), after(g, 'scale')]).toEqual([['src'], ['scale'], ['scale']]);
  expect([between(g, 'src', 'scale'), between(g, 'src', 'decode'), between(g, 'decode', 'scale')]).toEqual([['decode'], [], []]);
});
