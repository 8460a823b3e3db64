import { expect, test } from 'vitest';
import { bytes, bytesOf, hexDump, members, pluginParts, pretty } from './content';
import { ago, conditions, fromLocal, localTime, parseFilter, queryOf, settingsOf } from './filter';
import { choiceOf, compare, has, none, size, survivors, toggle, type Selection } from './selection';

test('a hex dump has offset, bytes and text', () => {
  const dump = hexDump(bytesOf(btoa('0123456789abcdef\x00\xff<')));
  expect(dump.split('\n')).toEqual([
    '00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|',
    `00000010  00 ff 3c${' '.repeat(15)}  ${' '.repeat(23)}  |..<|`,
  ]);
  expect(hexDump(new Uint8Array())).toBe('');
});

test('pretty JSON keeps every digit and every text', () => {
  expect(pretty('{"a":1.50,"b":[12345678901234567890,"x,{}: \\"y"],"c":{},"d":[]}')).toBe(
    '{\n  "a": 1.50,\n  "b": [\n    12345678901234567890,\n    "x,{}: \\"y"\n  ],\n  "c": {},\n  "d": []\n}',
  );
  expect(pretty(' 7 ')).toBe('7');
  for (const bad of ['', '{', 'no', '{"a":1}x']) expect(pretty(bad)).toBeUndefined();
});

test('members of an object are as they are written', () => {
  const got = members('{"id": "1-1", "event":{"record":{"v":1.50,"id":2},"l":[1,{"x":2}]},"n":-0.10}');
  expect([...got]).toEqual([['id', '"1-1"'], ['event', '{"record":{"v":1.50,"id":2},"l":[1,{"x":2}]}'], ['n', '-0.10']]);
  expect(members(got.get('event') ?? '').get('record')).toBe('{"v":1.50,"id":2}');
  expect([...members('[1,2]'), ...members('{}')]).toEqual([]);
});

test('sizes and plugins for people', () => {
  expect([0, 1023, 1536, 20 << 20].map(bytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '20.0 MiB']);
  expect(pluginParts('scale@1.2.0#0a1b2c3d')).toEqual({ name: 'scale', version: '1.2.0', hash: '0a1b2c3d' });
  expect(pluginParts('scale')).toEqual({ name: 'scale', version: '', hash: '' });
});

test('a filter survives the way through an address', () => {
  const f = { ...parseFilter(new URLSearchParams()), node: 'a&b', class: 'away', code: '22001', text: '<b> 100%', key: 'press 7', generation: 'redrive', from: '-1h', to: '2026-03-01T12:00:00Z', order: 'oldest' as const };
  const address = new URLSearchParams();
  for (const [name, value] of Object.entries(settingsOf(f))) if (value) address.set(name, value);
  expect(parseFilter(new URLSearchParams(address.toString()))).toEqual(f);
  expect(Object.values(settingsOf(parseFilter(new URLSearchParams()))).filter(Boolean)).toEqual([]);
});

test('what makes no sense in an address is left out', () => {
  const f = parseFilter(new URLSearchParams('class=odd&from=noon&to=-1h&order=x&id=1-1'));
  expect(f).toEqual(parseFilter(new URLSearchParams()));
  expect([ago('-15m'), ago('-7d'), ago('15m'), ago('-1y')]).toEqual([900_000, 604_800_000, NaN, NaN]);
});

test('the engine is asked for times, not for how long ago', () => {
  const now = Date.parse('2026-03-01T12:00:00Z');
  const q = queryOf(parseFilter(new URLSearchParams('from=-1h&to=2026-03-01T11:30:00%2B00:00&key=k')), now);
  expect(Object.fromEntries(q)).toEqual({ key: 'k', from: '2026-03-01T11:00:00.000Z', to: '2026-03-01T11:30:00.000Z' });
  expect(conditions(parseFilter(new URLSearchParams('node=a&code=b&from=-1h&text=x')))).toBe(3);
});

test('times of inputs are of the browser’s zone', () => {
  expect(fromLocal(localTime('2026-03-01T12:00:00Z'))).toBe('2026-03-01T12:00:00Z');
  expect([localTime('-1h'), fromLocal('')]).toEqual(['', '']);
});

const some = (...ids: string[]): Selection => ({ kind: 'some', ids: new Set(ids) });
const ids = (s: Selection): string[] => (s.kind === 'some' ? [...s.ids] : ['all']);

test('ids are in the order of their numbers', () => {
  expect(['10-0', '9-11', '9-2', ''].sort(compare)).toEqual(['', '9-2', '9-11', '10-0']);
});

test('all are those that were there when they were selected', () => {
  const all: Selection = { kind: 'all', filter: new URLSearchParams('node=a'), through: '5-1', total: 40 };
  expect([has(all, '5-1'), has(all, '5-2'), size(all)]).toEqual([true, false, 40]);
  expect(choiceOf(all).toString()).toBe('node=a&through=5-1&all=true');
  expect(ids(toggle(all, '4-1', ['6-1', '5-1', '4-1', '3-1']))).toEqual(['5-1', '3-1']);
  expect(survivors(all, ['6-1'], true)).toBe(none);
  expect(survivors(all, ['6-1'], false)).toBe(all);
});

test('single letters are selected and taken out', () => {
  expect(ids(toggle(toggle(none, '1-1', []), '2-1', []))).toEqual(['1-1', '2-1']);
  expect(size(toggle(some('1-1'), '1-1', []))).toBe(0);
  expect(choiceOf(some('10-1', '9-1')).toString()).toBe('id=9-1&id=10-1');
});

test('letters that are gone leave the selection, those further down stay', () => {
  const before = some('9-1', '8-1', '2-1');
  expect(ids(survivors(before, ['10-1', '9-1', '7-1'], false))).toEqual(['9-1', '2-1']);
  expect(ids(survivors(before, ['10-1', '9-1', '7-1'], true))).toEqual(['9-1']);
  expect(ids(survivors(before, ['7-1', '8-1'], false))).toEqual(['9-1', '8-1']); // oldest first
  expect(survivors(before, ['9-1', '8-1', '2-1'], true)).toBe(before);
  expect(ids(survivors(before, [], true))).toEqual([]);
});
