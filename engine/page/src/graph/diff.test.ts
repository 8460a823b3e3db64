import { expect, test } from 'vitest';
import { diff, fields, mostFields, parsed, relatives, type Tapped } from './diff';
import { range, take, type Past } from './past';

let made = 0;
function event(more: Partial<Tapped>): Tapped {
  return { stream: 's', lane: 0, position: `1.${++made}-1`, index: 0, appended: '2026-03-01T12:00:10.000Z', id: 'i', root_id: 'm1', key: 'k', ...more };
}

test('fields are named by their paths, and nothing is lost', () => {
  const value = { a: { b: 1, list: [1, { c: null }] }, empty: {}, none: [] };
  expect(Object.fromEntries(fields(value, 'whole'))).toEqual({ 'a.b': '1', 'a.list[0]': '1', 'a.list[1].c': 'null', empty: '{}', none: '[]' });
  expect([...fields('text', 'whole')]).toEqual([['whole', '"text"']]);
});

test('a comparison tells what was added, removed, changed and is the same', () => {
  const a = event({ payload: '{"value": 86, "unit": "F", "raw": [1]}', key: '' });
  const b = event({ record: { value: 30, unit: 'F', plant: '<img src=x>' } });
  const rows = diff(a, b);
  expect(rows.map((r) => `${r.path} ${r.change}`)).toEqual(['value changed', 'unit same', 'raw[0] removed', '(key) changed', 'plant added']);
  expect(rows[0]).toEqual({ path: 'value', change: 'changed', before: '86', after: '30' });
});

test('a record is compared with its own element of a list', () => {
  const list = event({ payload: '[{"id": "a", "v": 1}, {"id": "b", "v": 2}]' });
  expect(diff(list, event({ record: { id: 'b', v: 3 } }))).toEqual([
    { path: 'id', change: 'same', before: '"b"', after: '"b"' },
    { path: 'v', change: 'changed', before: '2', after: '3' },
    { path: '(element)', change: 'removed', before: '2/2' },
    { path: '(key)', change: 'same', before: '"k"', after: '"k"' },
  ]);
});

test('what is no JSON is one field, and a number is no text', () => {
  expect(diff(event({ payload: 'a;b' }), event({ payload: 'a;c' }))[0]).toMatchObject({ path: 'payload', change: 'changed' });
  expect(diff(event({ record: { v: 1 } }), event({ record: { v: '1' } }))[0]?.change).toBe('changed');
  expect([parsed('{"a":'), parsed(' [1]'), parsed('7')]).toEqual(['{"a":', [1], '7']);
});

test('large events are compared up to a bound', () => {
  const record = Object.fromEntries(Array.from({ length: 2 * mostFields }, (_, i) => [`f${i}`, i]));
  expect(diff(event({ record }), event({ record })).length).toBe(mostFields);
  let deep: unknown = 1;
  for (let i = 0; i < 1000; i++) deep = [deep];
  expect(fields(deep, 'w').size).toBe(1);
});

test('relatives come of the same message, the most alike first', () => {
  const e = event({ record: { device: 'b', value: 2 } });
  const list = [event({ record: { device: 'a', value: 1 } }), event({ root_id: 'm2', record: { device: 'b', value: 2 } }), event({ record: { device: 'b', value: 2.5 } })];
  expect(relatives(e, list)).toEqual([list[2], list[0]]);
  const other = event({ root: '1.5-1', record: {} });
  expect(relatives(event({ root: '1.4-1' }), [other])).toEqual([]);
});

test('the range of relatives reaches back to the message, or on to now', () => {
  const at = Date.parse('2026-03-01T12:00:10.000Z');
  const e = event({ root: `7.${at - 5000}-3`, root_id: 'a"b' });
  expect(range(e, true, at)).toEqual({ from: '2026-03-01T12:00:04.000Z', to: '2026-03-01T12:00:11.000Z', where: 'root_id == "a\\"b"' });
  expect(range(e, false, at + 30_000)).toMatchObject({ from: '2026-03-01T12:00:09.000Z', to: '2026-03-01T12:00:40.000Z' });
  expect(range(e, false, at + 9e9).to).toBe('2026-03-01T12:02:10.000Z');
});

test('lines of a tap are events, notices or why it ended', () => {
  const p: Past = { events: [], notices: [], cut: false };
  for (const line of [JSON.stringify(event({})), '', '{"notice":"2 entries were trimmed"}', '{"error":"redis is away"}']) take(p, line);
  expect([p.events.length, p.notices, p.error]).toEqual([1, ['2 entries were trimmed'], 'redis is away']);
});
