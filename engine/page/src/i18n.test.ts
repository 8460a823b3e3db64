import { expect, it } from 'vitest';
import { duration, en, firstLanguage, ko, lang, t } from './i18n';

const holes = (s: string): string[] => (s.match(/\{\w+\}/g) ?? []).sort();

type Words = { en: Record<string, string>; ko: Record<string, string> };
const parts = import.meta.glob<Words>('./*/words.ts', { eager: true });

it.each(Object.entries({ './i18n.ts': { en, ko } as Words, ...parts }))('%s has every text in both languages, with the same holes', (_, words) => {
  expect(Object.keys(words.ko).sort()).toEqual(Object.keys(words.en).sort());
  for (const [key, text] of Object.entries(words.en)) {
    const translated = words.ko[key] ?? '';
    expect(text.trim(), key).not.toBe('');
    expect(holes(translated), key).toEqual(holes(text));
    if (key !== 'language') {
      expect(translated, key).toMatch(/[가-힣]/);
      expect(text, key).not.toMatch(/[가-힣]/);
    }
  }
});

it('finds the words of every part', () => {
  expect(Object.keys(parts).length).toBeGreaterThan(1);
});

it('takes the language that was chosen, then the one that the browser asks for', () => {
  expect(firstLanguage('ko', ['en'])).toBe('ko');
  expect(firstLanguage('', ['ko-KR', 'en'])).toBe('ko');
  expect(firstLanguage('', ['de', 'en-GB', 'ko'])).toBe('en');
  expect(firstLanguage('xx', ['de'])).toBe('en');
});

it('fills in values and changes with the language', () => {
  lang.value = 'en';
  expect(t('perSecond', { n: 5 })).toBe('5 values/s');
  expect(duration(600_000)).toBe('10 min');
  lang.value = 'ko';
  expect(t('perSecond', { n: 5 })).toBe('초당 5개');
  expect(duration(5000)).toBe('5초');
});
