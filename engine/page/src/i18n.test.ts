import { expect, it } from 'vitest';
import { duration, en, firstLanguage, ko, lang, t, type Texts } from './i18n';

const holes = (s: string): string[] => (s.match(/\{\w+\}/g) ?? []).sort();

it('has every text in both languages, with the same holes', () => {
  expect(Object.keys(ko).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en) as (keyof Texts)[]) {
    expect(en[key].trim(), key).not.toBe('');
    expect(ko[key].trim(), key).not.toBe('');
    expect(holes(ko[key]), key).toEqual(holes(en[key]));
    if (key !== 'language') {
      expect(ko[key], key).toMatch(/[가-힣]/);
      expect(en[key], key).not.toMatch(/[가-힣]/);
    }
  }
});

it('takes the language that was chosen, then the one that the browser asks for', () => {
  expect(firstLanguage('ko', ['en'])).toBe('ko');
  expect(firstLanguage(null, ['ko-KR', 'en'])).toBe('ko');
  expect(firstLanguage(null, ['de', 'en-GB', 'ko'])).toBe('en');
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
