import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { parseRoute, route } from '../route';
import { adopt, change, chosenLang, followLayout, hiddenCharts, hiddenLines, nameOf, order, reset, resize, sizeOf, theme, tidy, type Field } from './layout';

const fields: Field[] = ['order', 'size', 'hide', 'lines', 'lang', 'tz', 'theme'];

/** The same numbers in every run. */
function chance(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

const pieces = ['a1', '.', '..', 'w', 'wzz', '__proto__', '\0', '%', '%zz', '&', '=', '#', '?', '한글', '\u202e', '<b>', 'dark', 'ko', 'utc', ' ', '9'.repeat(40)];

let memory: Map<string, string>;
beforeEach(() => {
  memory = new Map();
  vi.stubGlobal('localStorage', { getItem: (k: string) => memory.get(k) ?? null, setItem: (k: string, v: string) => memory.set(k, v) });
  vi.stubGlobal('history', { replaceState: vi.fn() });
  reset();
});
afterEach(() => vi.unstubAllGlobals());

it('makes sense of any text, or leaves it', () => {
  const random = chance(7);
  const wrong: string[] = [];
  for (let round = 0; round < 2000; round++) {
    const text = Array.from({ length: random() * 12 }, () => pieces[Math.floor(random() * pieces.length)]).join('');
    for (const f of fields) {
      const once = tidy(f, text);
      if (tidy(f, once) !== once || !/^[0-9a-z.]*$/.test(once)) wrong.push(`${f}: ${text}`);
    }
    adopt(parseRoute(`#charts?order=${text}&${text}&theme=${text}`).settings);
    if (!['auto', 'light', 'dark', 'contrast'].includes(theme.value) || sizeOf(text) !== 'small') wrong.push(text);
  }
  expect(wrong).toEqual([]);
});

it('holds no more than it can use', () => {
  const many = Array.from({ length: 5000 }, (_, i) => i.toString(36)).join('.');
  expect(tidy('lines', many).split('.').length).toBe(1000);
});

it('gives what was put in', () => {
  const [a, b] = [nameOf('live/temperature'), nameOf('live/압력')];
  change('order', [b, a]);
  change('hide', [a]);
  change('lines', [nameOf('live/temperature', 'pump-7')]);
  resize(a, 'wide');
  resize(b, 'full');
  resize(a, 'tall');
  expect(order.value).toEqual([b, a]);
  expect([...hiddenCharts.value]).toEqual([a]);
  expect(hiddenLines.value.has(nameOf('live/temperature', 'pump-7'))).toBe(true);
  expect([sizeOf(a), sizeOf(b), sizeOf('other')]).toEqual(['tall', 'full', 'small']);
  resize(a, 'small');
  expect(sizeOf(a)).toBe('small');
});

it('remembers what was chosen here, not what a link said', () => {
  adopt(new URLSearchParams('theme=dark&lang=ko'));
  change('theme', 'light');
  expect(memory.get('millrace.layout')).toBe('theme=light');
  expect(chosenLang.value).toBe('ko');
});

it('lets the address win, and keeps it up to date', () => {
  memory.set('millrace.layout', 'theme=dark&lang=ko&order=%00');
  route.value = parseRoute('#graph?theme=light&node=rows');
  followLayout();
  expect([theme.value, chosenLang.value]).toEqual(['light', 'ko']);
  expect(route.value.settings.toString()).toBe('theme=light&node=rows&lang=ko');
  route.value = parseRoute('#letters');
  expect(route.value.settings.toString()).toBe('lang=ko&theme=light');
  route.value = parseRoute('#charts?theme=contrast');
  expect(theme.value).toBe('contrast');
  reset();
  expect(route.value.settings.toString()).toBe('');
});

it('works where storage is refused', () => {
  const refuse = (): never => {
    throw new DOMException('refused', 'SecurityError');
  };
  vi.stubGlobal('localStorage', { getItem: refuse, setItem: refuse });
  followLayout();
  change('theme', 'dark');
  expect(theme.value).toBe('dark');
  reset();
  expect(theme.value).toBe('auto');
});

it('names differ', () => {
  const made = new Set(Array.from({ length: 5000 }, (_, i) => nameOf('live/chart', `line ${i}`)));
  expect(made.size).toBe(5000);
});
