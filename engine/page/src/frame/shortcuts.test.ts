import { expect, it, vi } from 'vitest';

vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => {} }));
const { keyOf, shortcuts } = await import('./shortcuts');
const { en } = await import('../dialogs/words');

const key = (key: string, code: string, shiftKey = false) => keyOf({ key, code, shiftKey });

it('knows keys by what they write, and by their place while Hangul is typed', () => {
  expect([key('t', 'KeyT'), key('T', 'KeyT', true), key('ㅅ', 'KeyT'), key('Process', 'KeyT')]).toEqual(['t', 't', 't', 't']);
  expect([key('/', 'Slash'), key('Process', 'Slash'), key('?', 'Slash', true), key('Process', 'Slash', true)]).toEqual(['/', '/', '?', '?']);
  expect([key('1', 'Digit1'), key('Process', 'Digit1'), key(' ', 'Space'), key('Escape', 'Escape')]).toEqual(['1', '1', ' ', 'Escape']);
  expect(key('t', 'KeyG')).toBe('t'); // another layout of the keyboard
});

it('has each key once, and a text for it', () => {
  expect(new Set(shortcuts.map((s) => s.key)).size).toBe(shortcuts.length);
  for (const s of shortcuts) expect(en[s.text]).toBeTruthy();
});
