import { expect, test } from 'vitest';
import { graph, letters, listen, marks, tell } from './topics';

test('states are kept, and the newest counts', () => {
  tell('graph', '{"pipeline":"p","nodes":[],"edges":[]}');
  tell('dlq', '{"total":1,"reasons":[]}');
  tell('dlq', '{"total":2,"reasons":[]}');
  expect(graph.value?.pipeline).toBe('p');
  expect(letters.value?.total).toBe(2);
});

test('a mark that is told again is one, and marks are in order of time', () => {
  for (const [id, time] of [['b', 2], ['a', 1], ['b', 2]]) tell('mark', JSON.stringify({ id, time, kind: 'start', text: '' }));
  expect(marks.value.map((m) => m.id)).toEqual(['a', 'b']);
});

test('listeners hear until they end, and events that nobody knows are no matter', () => {
  const heard: unknown[] = [];
  const end = listen('tap', (d) => heard.push(d));
  tell('tap', '{"node":"rows"}');
  end();
  tell('tap', 'no JSON');
  tell('constructor', 'no JSON');
  expect(heard).toEqual([{ node: 'rows' }]);
});
