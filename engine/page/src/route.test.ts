import { expect, test } from 'vitest';
import { addressOf, parseRoute } from './route';

test('an address names a view and its settings', () => {
  const r = parseRoute('#graph?node=rows&from=-1m');
  expect(r.view).toBe('graph');
  expect(r.settings.get('node')).toBe('rows');
  expect(addressOf(r.view, r.settings)).toBe('#graph?node=rows&from=-1m');
});

test('what is not known is the charts', () => {
  for (const hash of ['', '#', '#nothing', '#/', '#__proto__']) expect(parseRoute(hash).view).toBe('charts');
  expect(addressOf('charts')).toBe('#charts');
});
